"""What is checked before anything is built: each obstacle has its own message, next step and exit code."""

from pathlib import Path

import pytest

from mobilevit_deploy.apple.preflight import check_device
from mobilevit_deploy.errors import MeasurementError
from tests.apple.conftest import NAME, TEAM, UDID, Mvd, StandIn

OBSTACLES = {
    "command_line_tools": ("xcrun finds no devicectl", "sudo xcode-select -s /Applications/Xcode.app"),
    "no_device": ("no iPhone is attached", "connect it with a cable"),
    "offline": ("Anna\u2019s iPhone (iPhone 13): it is not connected (tunnel unavailable)", "connect it with a cable"),
    "unpaired": ("it does not trust this Mac", "tap Trust"),
    "developer_mode_off": ("Developer Mode is off", "Settings > Privacy & Security > Developer Mode"),
    "locked": ("it is locked", "Auto-Lock > Never"),
    "two_of_one_name": (
        "2 iPhones go by the name",
        "iPhone 15 Pro, iOS 18.5 (22F76): --device 00008130-001122334455667A",
    ),
    "no_licence": ("xcodebuild cannot be used: error: run 'sudo xcodebuild -license'", "install Xcode 15 or later"),
}


@pytest.mark.parametrize("mode", OBSTACLES)
def test_an_obstacle_is_named_before_anything_is_built(tools: StandIn, mvd: Mvd, mode: str) -> None:
    tools.set(mode)
    result = mvd("latency", "cas_vit_xs", "--backend", "coreml", "--device", NAME)
    message, hint = OBSTACLES[mode]
    assert result.exit_code == 1
    assert result.stdout == ""
    assert message in result.stderr
    assert hint in result.stderr
    assert len(tools.calls()) <= 4  # each takes a second or less
    assert not tools.calls("xcodebuild", "-workspace")
    assert not Path("artifacts").exists()  # nor was the model exported
    assert tools.leftovers() == []


def test_without_xcode(tools: StandIn, mvd: Mvd, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools.folder))
    for arguments in (("latency", "cas_vit_xs", "--backend", "coreml"), ("profile", package)):
        result = mvd(*arguments, "--device", NAME)
        assert result.exit_code == 1
        assert "needs a Mac with Xcode, and there is no xcrun here (Linux)" in result.stderr


def test_elsewhere_than_on_a_mac(mvd: Mvd, package: Path) -> None:
    for arguments in (("latency", "--backend", "coreml"), ("profile", package)):
        result = mvd(*arguments)
        assert result.exit_code == 1
        assert "Core ML runs on Apple's systems only, and this is Linux" in result.stderr
        assert "run it on a Mac" in result.stderr


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (("latency", "--backend", "coreml"), "there is no file none.mlpackage"),
        (("profile",), "there is no artifact none.mlpackage"),
    ],
)
def test_what_is_wrong_anywhere_is_told_anywhere(
    mvd: Mvd, package: Path, command: tuple[str, ...], missing: str
) -> None:
    """Not hidden behind the Mac that is missing."""
    for arguments, code, message in (
        (("none.mlpackage",), 1, missing),
        ((package, "--device", NAME, "--team", "x"), 2, "--team has 'x'"),
        ((package, "--device", " "), 2, "--device names no device"),
        ((package, "--device", NAME, "--device", "Ben"), 2, "takes one device"),
    ):
        result = mvd(*command, *arguments)
        assert result.exit_code == code, result.stderr
        assert message in result.stderr


def test_a_plan_needs_a_newer_ios(tools: StandIn, mvd: Mvd, package: Path) -> None:
    tools.set("old_ios")
    result = mvd("profile", package, "--device", NAME)
    assert result.exit_code == 1
    assert "it has iOS 17.2" in result.stderr
    assert "this needs iOS 17.4 or later" in result.stderr
    assert check_device(NAME, TEAM).device.os == "iOS 17.2 (21C62)"  # which is new enough for latency


@pytest.mark.parametrize("wanted", [NAME, "anna\u2019s iphone", UDID, UDID.lower(), "iphone_13"])
def test_an_iphone_goes_by_its_names(tools: StandIn, wanted: str) -> None:
    tools.set()
    assert check_device(wanted, TEAM).device.udid == UDID


def test_an_unknown_name_comes_with_those_that_are_seen(tools: StandIn) -> None:
    tools.set()
    for wanted, message in (("Ben", "no attached iPhone goes by 'Ben'"), ("iphone_15", "is of the profile iphone_15")):
        with pytest.raises(MeasurementError, match=message) as caught:
            check_device(wanted, TEAM)
        assert caught.value.hint == 'these are seen: --device "Anna\u2019s iPhone" (iPhone 13, connected)'


def test_a_tunnel_that_sleeps_is_woken(tools: StandIn) -> None:
    tools.set("asleep")
    assert check_device(NAME, TEAM).device.tunnel == "connected"
    assert tools.calls("xcrun", "devicectl", "device", "info", "lockState")


def test_an_xcode_that_does_not_know_of_locks(tools: StandIn) -> None:
    tools.set("no_lock_state")
    assert check_device(NAME, TEAM).device.locked is None


def test_a_macos_that_is_too_old(tools: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.set()
    monkeypatch.setattr("platform.mac_ver", lambda: ("14.3", ("", "", ""), "arm64"))
    with pytest.raises(MeasurementError, match=r"macOS 14\.3 is too old"):
        check_device(NAME, TEAM)


def test_what_devicectl_says_wrong_is_an_error_and_no_guess(tools: StandIn) -> None:
    tools.set()
    broken = tools.folder / "bin"
    broken.mkdir()
    (broken / "xcrun").write_text('#!/bin/sh\n[ "$1" = -f ] && echo /usr/bin/devicectl\nexit 0\n')
    (broken / "xcrun").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{broken}:/usr/bin:/bin")
        with pytest.raises(MeasurementError, match="devicectl list devices wrote no JSON"):
            check_device(NAME, TEAM)
