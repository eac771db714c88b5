"""The whole way to the iPhone, through coremltools' own modules, against the stand-in for Apple's tools."""

import fnmatch
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.apple.conftest import IDENTIFIER, NAME, TEAM, UDID, StandIn

BUNDLE = f"com.mvd.modelrunner.{TEAM.lower()}"
# coremltools looks 20 times for an answer, half a second apart, before it says anything. Where devicectl is slow, as on
# a busy machine, that takes longer, so it is the number that we compare with.
ATTEMPTS = 20
DEVICECTL = "xcrun devicectl"
CONTAINER = f"--user mobile --domain-type=appDataContainer --domain-identifier={BUNDLE}"

# What runs on the way to the first answer of the app, in this order; -j is where the tool writes its JSON.
SET_UP = [
    "xcrun -f devicectl",
    f"{DEVICECTL} list devices -j *",
    f"{DEVICECTL} device info lockState -d {IDENTIFIER} -j *",
    "xcodebuild -version",
    "xcodebuild -workspace */ModelRunner.xcworkspace -scheme modelrunner -sdk iphoneos "
    f"-destination platform=iOS,id={UDID} -configuration Release SYMROOT=* CODE_SIGN_STYLE=AUTOMATIC "
    "-allowProvisioningUpdates -allowProvisioningDeviceRegistration "
    f"DEVELOPMENT_TEAM={TEAM} PRODUCT_BUNDLE_IDENTIFIER={BUNDLE}",
    f"{DEVICECTL} device install app -d {IDENTIFIER} */ModelRunner.app -j *",
    f"{DEVICECTL} device process launch --console -d {IDENTIFIER} {BUNDLE}",
]
SEND = f"devicectl device copy to -d {IDENTIFIER} --source */{{name}} {CONTAINER} --destination {{place}} -j *"
FETCH = f"devicectl device copy from -d {IDENTIFIER} --source {{place}} {CONTAINER} --destination */{{name}} -j *"
PLACE = "Documents/modelrunnerd"
SEND_MESSAGE = SEND.format(name="message.json", place=f"{PLACE}/requests/messages/*/message.json")
FETCH_MESSAGE = FETCH.format(name="message.json", place=f"{PLACE}/responses/*/message.json")
PING = [SEND_MESSAGE, FETCH_MESSAGE]
LOAD = [SEND.format(name="model.mlmodelc", place=f"{PLACE}/requests/resources/*/model.mlmodelc"), *PING]
PREDICT = [
    SEND.format(name="*.bin", place=f"{PLACE}/requests/resources/*/*.bin"),
    *PING,
    FETCH.format(name="*.bin", place=f"{PLACE}/responses/*/*.bin"),
]


def assert_calls(mac: StandIn, expected: list[str]) -> None:
    calls = [call for call in mac.calls() if call[0] not in ("modelrunner", "sw_vers")]
    # On a busy machine an answer takes more than the five seconds after which the iPhone is looked at.
    calls = calls[:3] + [call for call in calls[3:] if not {"list", "lockState"} & set(call)]
    # The launch goes on beside what follows, and there its process may begin after that of the first message.
    for i, call in enumerate(calls[1:]):
        if "launch" in call and "copy" in calls[i]:
            calls[i : i + 2] = [call, calls[i]]
    found = [" ".join(call) for call in calls]
    for got, wanted in zip(found, expected, strict=True):
        assert fnmatch.fnmatch(got, wanted), f"{got}\nis not\n{wanted}"


def methods(mac: StandIn) -> list[str]:
    return [call[1].removeprefix("MLModelService.") for call in mac.calls("modelrunner")]


def test_from_build_to_unload(mac: StandIn, package: Path) -> None:
    mac.set()
    done = mac.measure(package, "--json")
    assert done.code == 0, done.err
    (result,) = done.json["results"]
    assert result["backend"] == "coreml"
    assert result["device"] == "Anna\u2019s iPhone"
    assert result["compute_units"] == "all"
    # The stand-in's times, which it sends in nanoseconds.
    assert (result["load_ms"], result["second_load_ms"]) == (900.0, 45.0)
    assert set(result["samples_ms"]) <= {1.20, 1.21, 1.22, 1.23, 1.24}
    assert result["p50_ms"] == pytest.approx(1.22, abs=0.01)
    assert result["iterations"] == len(result["samples_ms"]) >= 18
    assert result["warmup"] == 3
    assert result["stable"]
    assert result["thermal_state"] == [None, None]
    assert result["environment"]["cpu"] == "iPhone 13 (A15 Bionic)"
    assert result["environment"]["os"] == "iOS 18.5 (22F76)"
    assert result["environment"]["xcode"] == "Xcode 26.1"
    assert any("timed: one call of MLModel.prediction" in note for note in result["notes"])
    assert any("s apart, so the clocks may have dropped" in note for note in result["notes"])
    runs = result["warmup"] + result["iterations"]
    assert_calls(mac, [*SET_UP, *PING, *LOAD, *(LOAD + PING) * 2, *PREDICT * runs, *PING])
    again = ["Load", "Unload"] * 2
    assert methods(mac) == ["Ping", "Load", *again, *["Prediction"] * runs, "Unload"]
    load = json.loads(mac.calls("modelrunner", "MLModelService.Load")[0][2])
    assert {**load, "modelID": None} == {
        "modelID": None,
        "computeUnits": "ALL",
        "name": "model.mlmodelc",
        "functionName": None,
    }
    prediction = json.loads(mac.calls("modelrunner", "MLModelService.Prediction")[0][2])
    assert prediction["inputs"]["x"]["shape"] == [1, 3, 8, 8]
    assert mac.state("loaded") == {}  # every load was undone
    assert mac.state("app") == {"ended": "by a signal"}
    assert mac.leftovers() == []


def test_the_app_is_built_once_and_kept(mac: StandIn, package: Path) -> None:
    mac.set("refuses")  # ends after the launch
    assert "building the app" in mac.measure(package).err
    mac.set("refuses", "xcode_27")
    done = mac.measure(package)
    assert "starting the app on" in done.err
    assert not mac.calls("xcodebuild", "-workspace")
    assert mac.calls("xcrun", "devicectl", "device", "install")
    # Another team signs another app.
    mac.set("refuses")
    mac.measure(package, "--team", "Z9Y8X7W6V5")
    (build,) = mac.calls("xcodebuild", "-workspace")
    assert "DEVELOPMENT_TEAM=Z9Y8X7W6V5" in build


def test_a_kept_app_that_no_longer_installs_is_built_again(mac: StandIn, package: Path) -> None:
    mac.set("refuses")
    mac.measure(package)
    mac.set("refuses", "expired")  # the first installation from now on fails
    done = mac.measure(package)
    assert "building the app" in done.err
    assert len(mac.calls("xcrun", "devicectl", "device", "install")) == 2
    assert "the iPhone refuses the load" in done.err


def test_a_failed_build_is_no_kept_app(mac: StandIn, package: Path) -> None:
    mac.set("build_fails")
    done = mac.measure(package)
    assert done.code == 1
    assert 'Xcode does not build the app: error: No Account for Team "A1B2C3D4E5"' in done.err
    assert "Xcode > Settings > Accounts" in done.err
    (log,) = mac.folder.glob("cache/modelrunner/*/xcodebuild.log")
    assert str(log) in done.err.replace("\n", "")
    assert "BUILD FAILED" in log.read_text()
    assert list(mac.folder.rglob("*.app"))  # Xcode has left one
    mac.set("refuses")
    assert "building the app" in mac.measure(package).err
    assert mac.calls("xcodebuild", "-workspace")


FAILURES = {
    "install_fails": ("cannot be installed", "docs/how-to/iphone.md"),
    "launch_fails": ("has ended: ERROR: Unable to launch it", "repeat"),
    "silent": ("did not answer within 9 s", "VPN & Device Management"),
    "refuses": ("the iPhone refuses the load: Failed to build the model execution plan", "mvd inspect"),
    "endless_load": ("the load on Anna\u2019s iPhone did not end within 2 s", "--load-limit SECONDS"),
    "unplugged_midway": ("went away while it was measured", "plug it in again"),
    "locked_midway": ("it is locked, since it was being measured", "Auto-Lock > Never"),
}


@pytest.mark.parametrize("mode", FAILURES)
def test_a_failure_has_its_message_and_leaves_nothing(mac: StandIn, package: Path, mode: str) -> None:
    message, hint = FAILURES[mode]
    mac.set(mode)
    done = mac.measure(package, *(("--load-limit", 2) if mode == "endless_load" else ()))
    assert done.code == 1, done.err
    assert done.out == ""
    assert message in done.err
    assert hint in done.err
    assert "Traceback" not in done.err
    assert mac.looks() < ATTEMPTS
    assert mac.leftovers() == []


def test_a_load_that_is_slower_than_coremltools_waits(mac: StandIn, package: Path) -> None:
    mac.set("slow_load")
    done = mac.run("profile", package, "--device", NAME, "--json", "--load-limit", 1000)
    assert done.code == 0, done.err
    copies = "".join(call[3][0] for call in mac.calls("devicectl", "device", "copy"))  # to and from
    assert max(map(len, copies.split("t"))) > ATTEMPTS


def test_devicectl_that_only_xcrun_finds(mac: StandIn, package: Path) -> None:
    only = mac.folder / "bin"
    only.mkdir()
    for name in ("xcrun", "xcodebuild", "sw_vers"):
        script = f'#!/bin/sh\nexec {mac.environment["PATH"].split(":")[0]}/{name} "$@"\n'
        (only / name).write_text(script)
        (only / name).chmod(0o755)
    mac.environment["PATH"] = f"{only}:/usr/bin:/bin"
    mac.set()
    done = mac.run("profile", package, "--device", NAME, "--json")
    assert done.code == 0, done.err
    assert mac.calls("devicectl", "device", "copy")


@pytest.mark.parametrize("variable", ["MVD_CACHE", "TMPDIR"])
def test_a_path_that_a_shell_takes_apart_is_refused(mac: StandIn, package: Path, variable: str) -> None:
    mac.set()
    spaced = mac.folder / "my files"
    spaced.mkdir()
    mac.environment[variable] = str(spaced)
    done = mac.measure(package)
    assert done.code == 1
    assert "coremltools takes no path with spaces" in done.err
    assert f"set {variable} to another" in done.err
    assert not mac.calls("xcodebuild", "-workspace")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing(mac: StandIn, package: Path, sent: signal.Signals) -> None:
    mac.set()
    begin = time.monotonic()
    given = ("--backend", "coreml", "--device", NAME, "--seconds", 60)
    pid = mac.start("latency", package, *given, "--compute-units", "each")
    while not mac.calls("modelrunner", "MLModelService.Prediction"):
        assert time.monotonic() - begin < 300
        assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE, "it has ended by itself"
        time.sleep(0.02)
    os.kill(pid, sent)
    done = mac.wait(begin)
    assert done.code == 130
    assert "interrupted; nothing unfinished was left behind" in done.err
    assert "Traceback" not in done.err
    assert mac.leftovers() == []
