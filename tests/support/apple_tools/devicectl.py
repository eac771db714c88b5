"""``devicectl``: its subcommands, its JSON until Xcode 26 and from Xcode 27 on, and its errors."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.apple_tools import phone
from tests.support.apple_tools.state import State

DEVICE_ID = "5A0B6C6E-4D1B-5B8B-9C5E-0123456789AB"
OTHER_ID = "11111111-2222-5333-8444-555555555555"


def main(state: State, arguments: list[str]) -> int:
    answer = Path(arguments[arguments.index("-j") + 1]) if "-j" in arguments else None
    rest = arguments[: arguments.index("-j")] if answer else arguments
    commands: dict[tuple[str, str], Callable[[], dict[str, Any]]] = {
        ("list", "devices"): lambda: {"devices": devices(state)},
        ("device", "info"): lambda: lock_state(state),
        ("device", "install"): lambda: install(state, rest),
        ("device", "process"): lambda: launch(state, rest),
        ("device", "copy"): lambda: copy(state, rest),
    }
    try:
        result = commands[(rest[0], rest[1])]()
    except RefusedError as refusal:
        print(f"ERROR: {refusal.args[0]}", file=sys.stderr)
        return 1
    version = 5 if state.has("xcode_27") else 3
    if answer:
        info = {"outcome": "success", "jsonVersion": version, "commandType": f"devicectl.{rest[0]}.{rest[1]}"}
        answer.write_text(json.dumps({"info": info, "result": result}))
    return 0


class RefusedError(Exception):
    """A command that failed, with what it prints."""


def option(arguments: list[str], name: str) -> str:
    for i, argument in enumerate(arguments):
        if argument == name:
            return arguments[i + 1]
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
    raise RefusedError(f"Missing expected argument '{name}'")


def gone(state: State) -> bool:
    return state.has("offline") or state.read("unplugged", False)


def devices(state: State) -> list[dict[str, Any]]:
    if state.has("no_device"):
        return []
    found = [device(state, DEVICE_ID, "00008110-000A1B2C3D4E5F60", "iPhone14,5", "iPhone 13")]
    if state.has("two_of_one_name"):
        found.append(device(state, OTHER_ID, "00008130-001122334455667A", "iPhone16,1", "iPhone 15 Pro"))
    if state.has("xcode_27"):
        simulator = device(state, "E60E9C71-FCE3-4257-8E2C-9413E8D82B5C", "E60E9C71", "iPhone18,1", "iPhone 17 Pro")
        simulator["hardwareProperties"]["reality"] = "simulated"
        found = [as_xcode_27(item) for item in [*found, simulator]]
    return found


def device(state: State, identifier: str, udid: str, product: str, model: str) -> dict[str, Any]:
    connected = "disconnected" if state.has("asleep") and not state.read("woken", False) else "connected"
    return {
        "identifier": identifier,
        "visibilityClass": "default",
        "capabilities": [],
        "connectionProperties": {
            "pairingState": "unpaired" if state.has("unpaired") else "paired",
            "transportType": "wired",
            "tunnelState": "unavailable" if gone(state) else connected,
        },
        "deviceProperties": {
            "name": "Anna\u2019s iPhone",
            "osVersionNumber": "17.2" if state.has("old_ios") else "18.5",
            "osBuildUpdate": "21C62" if state.has("old_ios") else "22F76",
            "developerModeStatus": "disabled" if state.has("developer_mode_off") else "enabled",
            "ddiServicesAvailable": True,
        },
        "hardwareProperties": {
            "cpuType": {"name": "arm64e", "subType": 2},
            "deviceType": "iPhone",
            "marketingName": model,
            "platform": "iOS",
            "productType": product,
            "reality": "physical",
            "udid": udid,
        },
    }


def as_xcode_27(old: dict[str, Any]) -> dict[str, Any]:
    """Moves the fields under ``properties``, as after the removal that Xcode 27's deprecation notice tells of."""
    state, hardware = dict(old["deviceProperties"]), old["hardwareProperties"]
    version = state.pop("osVersionNumber")
    software = {
        "osVersionNumber": {"stringValue": version, "components": [18, 5]},
        "osBuildUpdate": state.pop("osBuildUpdate"),
    }
    state["developerModeStatus"] = {state["developerModeStatus"]: {"mode": 1}}
    properties = {"state": state, "hardware": hardware, "software": software, "connection": old["connectionProperties"]}
    return {"identifier": old["identifier"], "visibilityClass": "default", "properties": properties}


def lock_state(state: State) -> dict[str, Any]:
    if state.has("no_lock_state"):
        raise RefusedError("Unknown subcommand 'lockState'")
    if gone(state):
        raise RefusedError("The device is not connected. (com.apple.dt.CoreDeviceError error 4000)")
    state.write("woken", True)
    return {"passcodeRequired": state.has("locked") or state.read("locked", False), "unlockedSinceBoot": True}


def install(state: State, arguments: list[str]) -> dict[str, Any]:
    app = Path(arguments[-1])
    if state.has("install_fails") or (state.has("expired") and state.count("installs") == 1):
        raise RefusedError("Failed to install the app on the device. The provisioning profile has expired.")
    bundle = json.loads((app / "Info.json").read_text())["bundleID"]
    state.write("installed", bundle)
    return {"installedApplications": [{"bundleID": bundle, "databaseUUID": "6F8A", "installationURL": "file:///"}]}


def launch(state: State, arguments: list[str]) -> dict[str, Any]:
    """Shows the app's console until the app ends, the cable is pulled, or a signal comes, which the app gets too."""
    if state.read("installed", None) != arguments[-1]:
        raise RefusedError(f"The application {arguments[-1]} is not installed")
    if state.has("launch_fails"):
        raise RefusedError("Unable to launch it because it has an invalid code signature or its profile is not trusted")

    def end(_number: int, _frame: Any) -> None:
        state.write("app", {"ended": "by a signal"})
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    state.write("app", {"pid": os.getpid()})
    phone.begin(state)
    while not gone(state):
        time.sleep(0.05)
    raise RefusedError("The connection to the device was lost")


def copy(state: State, arguments: list[str]) -> dict[str, Any]:
    if gone(state):
        raise RefusedError("The device is not connected. (com.apple.dt.CoreDeviceError error 4000)")
    expected = ("appDataContainer", state.read("installed", None), "mobile")
    names = ("--domain-type", "--domain-identifier", "--user")
    if tuple(option(arguments, name) for name in names) != expected:
        raise RefusedError("There is no such container")
    source, destination = option(arguments, "--source"), option(arguments, "--destination")
    container = state.folder / "container"
    if arguments[2] == "to":
        target = container / destination
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if Path(source).is_dir() else shutil.copy(source, target)
        phone.notice(state, target)
    else:
        if not (container / source).exists() or not phone.is_ready(state, container / source):
            raise RefusedError(
                f"The file \u201c{Path(source).name}\u201d couldn\u2019t be opened because there is no such file."
            )
        shutil.copy(container / source, destination)
    return {"source": source, "destination": destination}
