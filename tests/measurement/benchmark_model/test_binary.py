"""Which tool is taken for which phone."""

import platform
from pathlib import Path

import pytest

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.benchmark_model.binary import VARIABLE, find_binary, host_abis
from tests.measurement.android.conftest import AARCH64, X86_64, write_program

PHONE = ("arm64-v8a", "armeabi-v7a")


def test_the_one_that_was_given(tmp_path: Path) -> None:
    path = write_program(tmp_path / "tool", AARCH64)
    assert find_binary(path, PHONE) == path


def test_those_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(MeasurementError, match="has no benchmark_model for arm64-v8a or armeabi-v7a"):
        find_binary(None, PHONE)
    plain = write_program(tmp_path / "benchmark_model", AARCH64)
    assert find_binary(None, PHONE) == plain
    (tmp_path / "arm64-v8a").mkdir()
    own = write_program(tmp_path / "arm64-v8a" / "benchmark_model", AARCH64)
    assert find_binary(None, PHONE) == own
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(MeasurementError, match="was not given"):
        find_binary(None, PHONE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no file"),
        (b"", "is no program for Linux or Android"),
        (b"\x7fELF\x02\x01", "is no program for Linux or Android"),
        (b"#!/bin/sh\necho no program\n", "is no program for Linux or Android"),
    ],
)
def test_what_is_no_program(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "tool"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MeasurementError, match=message):
        find_binary(path, PHONE)


def test_one_for_another_processor(tmp_path: Path) -> None:
    path = write_program(tmp_path / "tool", X86_64)
    with pytest.raises(MeasurementError, match="is for x86_64, and the device runs arm64-v8a, armeabi-v7a"):
        find_binary(path, PHONE)
    with pytest.raises(MeasurementError, match="is for processors of ELF machine 999"):
        find_binary(write_program(tmp_path / "other", 999), PHONE)


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert host_abis() == ("arm64-v8a",)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert host_abis() == ("x86_64",)
