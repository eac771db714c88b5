"""Which Android phones are seen, and what stands in the way of each."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.android import adb
from mobilevit_deploy.measurement.android.adb import AdbError, find_adb, shell
from mobilevit_deploy.measurement.android.attached import AttachedPhone, choose, list_phones, open_phone, parse_devices
from mobilevit_deploy.measurement.android.conditions import Conditions, read_conditions
from tests.measurement.android.conftest import Mvd, Phone
from tests.support.android_tools.adb import OTHER, SERIAL
from tests.support.schemas import check


@pytest.mark.usefixtures("phone")
def test_what_a_phone_says() -> None:
    (found,) = list_phones()
    assert (found.serial, found.model, found.maker, found.chip) == (SERIAL, "Pixel 8", "Google", "Google Tensor G3")
    assert (found.os, found.api_level, found.abis) == ("Android 15 (AP4A.250105.002)", 35, ("arm64-v8a",))
    assert found.profile is not None
    assert found.profile.name == "pixel_8"
    assert not found.emulated
    assert found.obstacles() == ()


def test_a_chip_that_only_the_profile_names() -> None:
    of_2019 = AttachedPhone(
        "a", "device", "SM-G973F", {"ro.product.device": "beyond1lte", "ro.board.platform": "exynos"}
    )
    assert of_2019.chip == "Samsung Exynos 9820"
    assert AttachedPhone("a", "device", "x", {"ro.board.platform": "exynos"}).chip == "exynos"
    assert AttachedPhone("a", "device", "x", {"ro.product.device": "iPhone14,5"}).profile is None


@pytest.mark.parametrize(
    ("line", "serial", "state", "model"),
    [
        ("emulator-5554          device model:sdk_gphone64 transport_id:1", "emulator-5554", "device", "sdk gphone64"),
        ("0A041FDD4000AB         unauthorized usb:1-1 transport_id:2", "0A041FDD4000AB", "unauthorized", ""),
        ("192.168.1.5:5555\tdevice", "192.168.1.5:5555", "device", ""),
        (
            "????????????           no permissions (user in plugdev group; are your udev rules wrong?); see "
            "[http://developer.android.com/tools/device.html] usb:3-2 transport_id:4",
            "????????????",
            "no permissions (user in plugdev group; are your udev rules wrong?); see "
            "[http://developer.android.com/tools/device.html]",
            "",
        ),
    ],
)  # fmt: skip
def test_lines_of_adb(line: str, serial: str, state: str, model: str) -> None:
    (found,) = parse_devices(f"* daemon started successfully\nList of devices attached\n{line}\n\n")
    assert (found.serial, found.state, found.model) == (serial, state, model)


def test_no_lines_of_adb() -> None:
    assert parse_devices("List of devices attached\n\n") == []
    assert parse_devices("adb: some failure\n") == []


@pytest.mark.parametrize(
    ("mode", "message", "hint"),
    [
        ("unauthorized", "does not trust this computer", "tap Allow"),
        ("offline", "is offline", "plug it in again"),
        ("no_permissions", "may not open its USB port", "apt install"),
        ("old_android", "it has Android 7.1.2", "Android 8 or later"),
    ],
)
def test_what_stands_in_the_way(phone: Phone, mode: str, message: str, hint: str) -> None:
    phone.set(mode)
    (found,) = list_phones()
    (obstacle,) = found.obstacles()
    assert message in obstacle.message
    assert hint in obstacle.hint
    with pytest.raises(MeasurementError, match=message):
        open_phone(None)


def test_a_state_that_nobody_knows() -> None:
    (obstacle,) = AttachedPhone("a", "sideload", "").obstacles()
    assert obstacle.message == "it is in the state 'sideload'"


def test_one_is_chosen(phone: Phone) -> None:
    for wanted in (None, SERIAL, "Pixel 8", "google pixel 8", "pixel_8"):
        assert choose(list_phones(), wanted).serial == SERIAL
    with pytest.raises(MeasurementError, match="no attached Android phone goes by 'pixel_7'") as caught:
        choose(list_phones(), "pixel_7")
    assert f"--device {SERIAL} (Pixel 8, device)" in str(caught.value.hint)
    phone.set("two_phones")
    assert choose(list_phones(), OTHER).serial == OTHER
    for wanted in (None, "pixel_8"):
        with pytest.raises(MeasurementError, match="2 Android phones are attached") as caught:
            choose(list_phones(), wanted)
        assert f"--device {SERIAL}" in str(caught.value.hint)
        assert f"--device {OTHER}" in str(caught.value.hint)
    phone.set("no_phone")
    with pytest.raises(MeasurementError, match="no Android phone is attached"):
        choose(list_phones(), None)


def test_what_a_phone_is_like_now(phone: Phone) -> None:
    assert read_conditions(SERIAL) == Conditions("none", 93, 28.7, True, True, ("sched_pixel",))
    phone.set("hot", "asleep")
    found = read_conditions(SERIAL)
    assert (found.thermal_status, found.screen_on) == ("moderate", False)


@pytest.mark.parametrize("argument", ["a b", "$HOME", "`id`", "a;b", "a'b", '"', "*", "-rf", "a\nb"])
def test_every_argument_reaches_the_phone_as_it_is(phone: Phone, argument: str) -> None:
    shell(SERIAL, "chmod", argument)
    (text,) = phone.shells()
    done = subprocess.run(["sh", "-c", f'set -- {text}; printf %s "$2"'], capture_output=True, text=True, check=True)
    assert done.stdout == argument


@pytest.mark.usefixtures("cabled")
def test_no_adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = shutil.which("adb")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MeasurementError, match="there is no adb here") as caught:
        list_phones()
    assert "apt install adb" in str(caught.value.hint)
    folder = tmp_path / "sdk" / "platform-tools"
    folder.mkdir(parents=True)
    (folder / "adb").symlink_to(str(tool))
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))
    assert find_adb() == folder / "adb"


@pytest.mark.usefixtures("cabled")
def test_an_adb_that_hangs_or_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "bin" / "adb"
    own.parent.mkdir()
    monkeypatch.setenv("PATH", f"{own.parent}:{os.environ['PATH']}")
    for text, message in [
        ("#!/bin/sh\nsleep 9\n", "did not end within"),
        ("#!/bin/sh\necho 'adb: cannot connect to daemon' >&2; exit 1\n", "adb devices: cannot connect to daemon"),
        ("#!/nowhere\n", "cannot be started"),
    ]:
        own.write_text(text)
        own.chmod(own.stat().st_mode | stat.S_IXUSR)
        with pytest.raises(AdbError, match=message):
            adb.adb("devices", limit_s=0.2)


def test_devices(phone: Phone, mvd: Mvd) -> None:
    shown = mvd("devices")
    assert shown.exit_code == 0
    assert f"ready: mvd latency FILE.tflite --backend android --device {SERIAL}" in shown.stdout
    seen = check("devices", mvd("devices", "--json").stdout)["android"]
    assert [(item["serial"], item["profile"], item["ready"]) for item in seen["attached"]] == [
        (SERIAL, "pixel_8", True)
    ]
    phone.set("unauthorized")
    assert "it does not trust this computer: unlock it, and tap Allow" in mvd("devices").stdout.replace("\n", " ")
    phone.set("no_phone")
    assert "no Android phone is attached" in mvd("devices").stdout


@pytest.mark.usefixtures("phone")
def test_doctor(mvd: Mvd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ability() -> dict[str, object]:
        abilities = check("doctor", mvd("doctor", "--json").stdout)["abilities"]
        return next(item for item in abilities if "Android" in item["name"])

    assert ability()["works"] is True
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ability()["works"] is False
    assert "adb" in str(ability()["detail"])


REAL = shutil.which("adb")


@pytest.mark.skipif(REAL is None, reason="there is no adb here")
def test_a_real_adb_and_no_phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own server, on a port of its own, in a home of its own; nothing is attached to it."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "15037")
    monkeypatch.setenv("HOME", str(tmp_path))
    try:
        list_phones()
        with pytest.raises(AdbError, match="the phone NONE cannot be reached: device 'NONE' not found"):
            shell("NONE", "ls")
    finally:
        adb.adb("kill-server")
