"""Where the user's tool lies, and for which processors it was compiled."""

import os
import platform
import struct
from collections.abc import Sequence
from pathlib import Path

from mobilevit_deploy.errors import MeasurementError

NAME = "benchmark_model"
VARIABLE = "MVD_ANDROID_TOOLS"  # a folder with the tool, or with one folder for each ABI that has it
WHERE = (
    f"give it with --benchmark-binary, or name its folder in {VARIABLE}; docs/how-to/android.md says where to get it"
)
# Source: e_machine of the ELF header, https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html; the names are
# Android's, https://developer.android.com/ndk/guides/abis
ABIS = {183: "arm64-v8a", 40: "armeabi-v7a", 62: "x86_64", 3: "x86", 243: "riscv64"}
MACHINES = {
    "x86_64": "x86_64",
    "AMD64": "x86_64",
    "aarch64": "arm64-v8a",
    "arm64": "arm64-v8a",
    "armv7l": "armeabi-v7a",
}


def find_binary(given: Path | None, abis: Sequence[str], name: str = NAME) -> Path:
    """Returns the tool for a device.

    Args:
        given: by the user; None for the one in the folder that the environment names.
        abis: that the device runs, the best first.
        name: of the tool.

    Raises:
        MeasurementError: there is none, or it is for other processors.
    """
    if given is not None:
        check_binary(given, abis, name)
        return given
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise MeasurementError(f"the tool that runs such files, {name}, was not given", WHERE)
    places = [Path(folder) / abi / name for abi in abis] + [Path(folder) / name]
    for place in places:
        if place.is_file():
            check_binary(place, abis, name)
            return place
    raise MeasurementError(f"{VARIABLE} names {folder}, which has no {name} for {' or '.join(abis)}", WHERE)


def check_binary(path: Path, abis: Sequence[str], name: str = NAME) -> None:
    """Raises MeasurementError for a file that is no program, or one for other processors than a device has."""
    if not path.is_file():
        raise MeasurementError(f"there is no file {path}", WHERE)
    with path.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF" or len(head) < 20:
        raise MeasurementError(f"{path} is no program for Linux or Android", WHERE)
    (machine,) = struct.unpack_from("<H" if head[5] == 1 else ">H", head, 18)
    abi = ABIS.get(machine, f"processors of ELF machine {machine}")
    if abi not in abis:
        raise MeasurementError(
            f"{path} is for {abi}, and the device runs {', '.join(abis) or 'no ABI that it tells'}",
            f"take the {name} that is built for it (docs/how-to/android.md)",
        )


def host_abis() -> tuple[str, ...]:
    """Returns what programs on this machine are compiled for, in Android's names."""
    machine = platform.machine()
    return (MACHINES.get(machine, machine),)
