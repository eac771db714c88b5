"""iPhones that are attached to this Mac, as ``devicectl`` tells of them: in the JSON of Xcode 15 to 26, and of 27."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mobilevit_deploy.apple.tools import DevicectlError, devicectl
from mobilevit_deploy.catalog.cards import Device
from mobilevit_deploy.catalog.catalog import devices
from mobilevit_deploy.errors import MeasurementError, Obstacle

# Until Xcode 26 the fields lie in these groups; from 27 on in groups of "properties", and these are deprecated.
OLD_GROUPS = ("deviceProperties", "hardwareProperties", "connectionProperties")
OLDEST_IOS = (17, 0)  # coremltools' app
OLDEST_IOS_FOR_PLAN = (17, 4)
OLDEST_IOS_FOR_FUNCTIONS = (18, 0)
PLUG_IN = "connect it with a cable, unlock it, and tap Trust; mvd devices shows what is seen"


@dataclass(frozen=True)
class AttachedDevice:
    """One iPhone.

    Attributes:
        name: that its owner gave it.
        model: as it is sold, such as ``iPhone 13``.
        product_type: such as ``iPhone14,5``.
        identifier: ``devicectl``'s own.
        udid: the device's own.
        os_version: such as ``18.5``.
        os_build: such as ``22F76``.
        connection: ``wired``, ``localNetwork``, or empty when there is none now.
        tunnel: ``connected``, ``disconnected`` (it is opened when needed) or ``unavailable``.
        paired: whether the Mac may talk to it.
        developer_mode: ``enabled``, ``disabled``, or empty where the device does not say.
        locked: None where it is not known.
    """

    name: str
    model: str
    product_type: str
    identifier: str
    udid: str
    os_version: str
    os_build: str
    connection: str
    tunnel: str
    paired: bool
    developer_mode: str
    locked: bool | None = None

    @property
    def profile(self) -> Device | None:
        """Returns the profile of its product type."""
        return device_of(self.product_type)

    @property
    def os(self) -> str:
        """Returns version and build."""
        return f"iOS {self.os_version} ({self.os_build})" if self.os_build else f"iOS {self.os_version}"

    @property
    def reachable(self) -> bool:
        """Tells whether the Mac can reach it now; a tunnel that is only disconnected is opened when needed."""
        return self.tunnel not in ("unavailable", "")

    def obstacles(self, oldest_ios: tuple[int, int] = OLDEST_IOS) -> tuple[Obstacle, ...]:
        """Returns all that stands in the way, the first to be removed first."""
        found = []
        if not self.paired:
            found.append(Obstacle("it does not trust this Mac", "unlock it, tap Trust, and enter its passcode"))
        if not self.reachable:
            found.append(Obstacle(f"it is not connected (tunnel {self.tunnel or 'unknown'})", PLUG_IN))
        if self.developer_mode == "disabled":
            found.append(
                Obstacle(
                    "Developer Mode is off",
                    "on the iPhone: Settings > Privacy & Security > Developer Mode; it restarts, then confirm",
                )
            )
        if (version := parse_version(self.os_version)) and version < oldest_ios:
            needed = ".".join(map(str, oldest_ios))
            found.append(Obstacle(f"it has iOS {self.os_version}", f"this needs iOS {needed} or later: update it"))
        if self.locked:
            found.append(
                Obstacle(
                    "it is locked",
                    "unlock it, and keep it so meanwhile: Settings > Display & Brightness > Auto-Lock > Never",
                )
            )
        return tuple(found)


def device_of(product_type: str) -> Device | None:
    """Returns the profile of Apple's product type, such as ``iPhone14,5``; None where no profile names it."""
    return next((card for card in devices().values() if product_type in card.identifiers), None)


def parse_version(text: str) -> tuple[int, ...]:
    """Returns the first two numbers of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def list_devices() -> list[AttachedDevice]:
    """Returns the iPhones that the Mac knows; raises MeasurementError when ``devicectl`` fails."""
    result = devicectl("list", "devices").get("result")
    items = result.get("devices") if isinstance(result, dict) else None
    return [device for item in items or () if isinstance(item, dict) and (device := read_device(item))]


def read_device(item: Mapping[str, Any]) -> AttachedDevice | None:
    """Returns one iPhone of ``devicectl``'s list; None for simulators, other devices, and one without identifier."""
    fields = _fields(item)
    product_type = fields.get("productType", "")
    kind = fields.get("deviceType", "") or ("iPhone" if product_type.startswith("iPhone") else "")
    identifier, udid = _text(item.get("identifier")), fields.get("udid", "")
    if kind.lower() != "iphone" or fields.get("reality", "physical") != "physical" or not (identifier and udid):
        return None
    return AttachedDevice(
        name=fields.get("name", "") or udid,
        model=fields.get("marketingName", "") or product_type or "iPhone",
        product_type=product_type,
        identifier=identifier,
        udid=udid,
        os_version=fields.get("osVersionNumber", ""),
        os_build=fields.get("osBuildUpdate", ""),
        connection=fields.get("transportType", ""),
        tunnel=fields.get("tunnelState", "").lower(),
        paired=fields.get("pairingState", "paired") == "paired",
        developer_mode=fields.get("developerModeStatus", ""),
    )


def _fields(item: Mapping[str, Any]) -> dict[str, str]:
    """Returns all fields by name, whatever group they lie in; those of ``properties`` win over the deprecated ones."""
    properties = item.get("properties")
    new = properties if isinstance(properties, dict) else {}
    named = sorted(new.items(), key=lambda entry: entry[0] == "state")  # last, for it has the owner's name
    groups = [*(item.get(name) for name in OLD_GROUPS), new, *(group for _, group in named)]
    return {
        name: text
        for group in groups
        if isinstance(group, dict)
        for name, value in group.items()
        if (text := _text(value))
    }


def _text(value: Any) -> str:
    """Returns a value as text: Xcode 27 writes a version as an object, and a choice as an object with one key."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        if isinstance(value.get("stringValue"), str):
            return str(value["stringValue"])
        if len(value) == 1:
            return str(next(iter(value)))
    return ""


def with_lock_state(device: AttachedDevice) -> AttachedDevice:
    """Asks a device whether it is locked, which also opens the tunnel to it; None where it does not say."""
    try:
        result = devicectl("device", "info", "lockState", "-d", device.identifier).get("result")
    except DevicectlError:
        return device
    required = result.get("passcodeRequired") if isinstance(result, dict) else None
    return replace(device, locked=required if isinstance(required, bool) else None)


def choose(attached: Iterable[AttachedDevice], wanted: str) -> AttachedDevice:
    """Returns the one iPhone of a name, UDID, identifier or profile; raises MeasurementError, naming what is seen."""
    seen = list(attached)
    exact = [device for device in seen if wanted.lower() in (device.udid.lower(), device.identifier.lower())]
    found = exact or [device for device in seen if _plain(wanted) in (_plain(device.name), _profile_name(device))]
    if len(found) == 1:
        return found[0]
    if found:
        each = "; ".join(f"{device.model}, {device.os}: --device {device.udid}" for device in found)
        raise MeasurementError(f"{len(found)} iPhones go by the name {wanted!r}", f"give the UDID: {each}")
    if not seen:
        raise MeasurementError(f"no iPhone is attached, so none is {wanted!r}", PLUG_IN)
    what = f"is of the profile {wanted}" if wanted in devices() else f"goes by {wanted!r}"
    known = "; ".join(f'--device "{device.name}" ({device.model}, {_state(device)})' for device in seen)
    raise MeasurementError(f"no attached iPhone {what}", f"these are seen: {known}")


def _state(device: AttachedDevice) -> str:
    return "connected" if device.reachable else "not connected"


def _plain(name: str) -> str:
    """Returns a name as people type it: iOS puts a typographic apostrophe into "Anna's iPhone"."""
    return name.replace("\u2019", "'").casefold().strip()


def _profile_name(device: AttachedDevice) -> str:
    return device.profile.name if device.profile else ""
