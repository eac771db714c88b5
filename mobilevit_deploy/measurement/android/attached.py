"""Android phones that ``adb`` sees: what each is, and what stands in the way of measuring on it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mobilevit_deploy.catalog.cards import Device
from mobilevit_deploy.catalog.catalog import devices
from mobilevit_deploy.errors import MeasurementError, Obstacle, printable
from mobilevit_deploy.measurement.android.adb import AdbError, adb, shell

PLUG_IN = (
    "switch on Settings > Developer options > USB debugging, connect the phone with a cable, unlock it, and allow this "
    "computer; mvd devices shows what is seen"
)
LONGEST = 200  # characters of what a phone says of itself
OLDEST_ANDROID = 26  # API level of Android 8: adb passes exit codes on, and /data/local/tmp may hold programs
READY = "device"  # adb's word for a phone that answers
# adb's other words; source: connection_state_name and its neighbours in packages/modules/adb.
STATES: Mapping[str, Obstacle] = {
    "unauthorized": Obstacle(
        "it does not trust this computer",
        "unlock it, and tap Allow; if it does not ask: Settings > Developer options > Revoke USB debugging "
        "authorisations, then plug it in again",
    ),
    "offline": Obstacle("it is offline", "unplug it and plug it in again; adb reconnect"),
    "authorizing": Obstacle("it is still connecting", "unlock it, wait some seconds, and try again"),
    "connecting": Obstacle("it is still connecting", "wait some seconds, and try again"),
    "no permissions": Obstacle(
        "this user may not open its USB port",
        "on Linux: apt install android-sdk-platform-tools-common, then plug it in again",
    ),
}
_LINE = re.compile(r"(?P<serial>\S+)\s+(?P<state>.*?)(?P<facts>(?:\s+(?:usb|product|model|device|transport_id):\S+)*)$")
_PROPERTY = re.compile(r"^\[([\w.]+)\]: \[(.*)\]$", re.MULTILINE)


@dataclass(frozen=True)
class AttachedPhone:
    """One phone.

    Attributes:
        serial: by which ``adb`` knows it.
        state: ``device`` where it answers, else adb's word for why not.
        model: as its maker calls it, such as ``Pixel 8``.
        properties: what the phone says of itself; nothing where it does not answer.
    """

    serial: str
    state: str
    model: str
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Tells whether it answers."""
        return self.state == READY

    @property
    def profile(self) -> Device | None:
        """Returns the profile of its maker's name for the model; None where no profile has that."""
        name = self.properties.get("ro.product.device")
        cards = devices().values()
        return next((card for card in cards if card.kind == "android" and name in card.identifiers), None)

    @property
    def maker(self) -> str:
        """Returns such as ``Google``."""
        return self.properties.get("ro.product.manufacturer", "")

    @property
    def chip(self) -> str:
        """Returns the chip: what the phone says of it since Android 12, else its profile's, else its board."""
        names = ("ro.soc.manufacturer", "ro.soc.model")
        told = " ".join(filter(None, (self.properties.get(name) for name in names)))
        profile = self.profile
        return (
            told or (profile.chip if profile and profile.chip else "") or self.properties.get("ro.board.platform", "")
        )

    @property
    def os(self) -> str:
        """Returns version and build."""
        version, build = (self.properties.get(f"ro.build.{name}", "") for name in ("version.release", "id"))
        return f"Android {version} ({build})" if build else f"Android {version}".strip()

    @property
    def api_level(self) -> int | None:
        """Returns Android's own number of its version; None where it is not told."""
        text = self.properties.get("ro.build.version.sdk", "")
        return int(text) if text.isdecimal() else None

    @property
    def abis(self) -> tuple[str, ...]:
        """Returns what its programs may be compiled for, the best first, such as ``arm64-v8a``."""
        return tuple(filter(None, self.properties.get("ro.product.cpu.abilist", "").split(",")))

    @property
    def emulated(self) -> bool:
        """Tells whether it is an emulator, whose times are nobody's."""
        return "1" in (self.properties.get("ro.boot.qemu"), self.properties.get("ro.kernel.qemu"))

    def facts(self) -> dict[str, Any]:
        """Returns what a figure depends on: the phone, its chip and its system."""
        return {
            "device": f"{self.maker} {self.model}".strip(),
            "profile": self.profile.name if self.profile else None,
            "cpu": self.chip or "unknown chip",
            "os": self.os,
            "abi": self.abis[0] if self.abis else None,
        }

    def obstacles(self) -> tuple[Obstacle, ...]:
        """Returns all that stands in the way, the first to be removed first."""
        if not self.ready:
            known = next((obstacle for word, obstacle in STATES.items() if self.state.startswith(word)), None)
            return (known or Obstacle(f"it is in the state {self.state!r}", "start Android on it"),)
        if self.api_level is not None and self.api_level < OLDEST_ANDROID:
            return (Obstacle(f"it has {self.os}", "this needs Android 8 or later"),)
        return ()


def list_phones() -> list[AttachedPhone]:
    """Returns the phones that ``adb`` sees, with what those that answer say; raises MeasurementError when it fails."""
    found = []
    for phone in parse_devices(adb("devices", "-l")):
        if phone.ready:
            try:
                phone = replace(phone, properties=read_properties(phone.serial))
            except AdbError:
                phone = replace(phone, state="offline")
            phone = replace(phone, model=phone.properties.get("ro.product.model", phone.model))
        found.append(phone)
    return found


def parse_devices(text: str) -> list[AttachedPhone]:
    """Returns the phones of what ``adb devices -l`` prints, as far as that tells."""
    _, _, listed = text.partition("List of devices attached")
    found = []
    lines = [printable(line.replace("\t", " ").strip()) for line in listed.splitlines()]
    for match in filter(None, map(_LINE.match, lines)):
        facts = dict(item.split(":", 1) for item in match["facts"].split())
        found.append(AttachedPhone(match["serial"], match["state"], facts.get("model", "").replace("_", " ")))
    return found


def read_properties(serial: str) -> dict[str, str]:
    """Returns the properties of a phone that answers, by name."""
    text = shell(serial, "getprop").out.replace("\r\n", "\n")
    return {name: printable(value[:LONGEST]) for name, value in _PROPERTY.findall(text)}


def choose(attached: Iterable[AttachedPhone], wanted: str | None) -> AttachedPhone:
    """Returns one phone; raises MeasurementError, naming what is seen.

    Args:
        attached: the phones that are seen.
        wanted: a serial, a model or a profile; None for the only one there is.
    """
    seen = list(attached)
    if not seen:
        raise MeasurementError("no Android phone is attached", PLUG_IN)
    each = "; ".join(f"--device {phone.serial} ({phone.model or 'a phone'}, {phone.state})" for phone in seen)
    if wanted is None:
        found = seen
    else:
        exact = [phone for phone in seen if phone.serial == wanted]
        found = exact or [phone for phone in seen if wanted.casefold() in _names(phone)]
    if len(found) == 1:
        return found[0]
    if found:
        raise MeasurementError(
            f"{len(found)} Android phones are attached" + (f" that are {wanted}" if wanted else ""), each
        )
    raise MeasurementError(f"no attached Android phone goes by {wanted!r}", f"these are seen: {each}")


def open_phone(wanted: str | None) -> AttachedPhone:
    """Returns a phone that can be measured on now; arguments and errors as those of ``choose``, and its obstacles."""
    phone = choose(list_phones(), wanted)
    for obstacle in phone.obstacles():
        raise MeasurementError(f"{phone.model or 'the phone'} ({phone.serial}): {obstacle.message}", obstacle.hint)
    return phone


def _names(phone: AttachedPhone) -> set[str]:
    profile = phone.profile
    return {phone.model.casefold(), f"{phone.maker} {phone.model}".casefold(), profile.name if profile else ""} - {""}
