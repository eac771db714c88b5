"""What mvd doctor says of a machine, and of what is broken on it."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import Result

from mobilevit_deploy.system import hardware
from mobilevit_deploy.system.hardware import Machine, features_of_apple, features_of_linux
from mobilevit_deploy.targets import breaks

MACHINE = Machine("Linux-6.1", "x86_64", "a processor", ("AVX2",), 2, 2**34, 2**33, 2**36, 2**36)


@pytest.mark.parametrize(
    ("text", "features"),
    [
        (
            "processor\t: 0\nflags\t\t: fpu sse2 avx2 fma f16c avx512f avx512_vnni "
            "avx512_bf16 avx512_fp16 amx_tile amx_int8\nbugs\t: x\n",
            ("AVX2", "FMA", "F16C", "AVX-512", "AVX-512 VNNI", "AVX-512 bf16", "AVX-512 fp16", "AMX int8"),
        ),
        (
            "processor\t: 0\nFeatures\t: fp asimd asimdhp asimddp i8mm bf16\nCPU part\t: 0xd40\n",
            ("NEON", "NEON fp16", "NEON dot product", "NEON i8mm", "NEON bf16"),
        ),
        ("flags\t: fpu sse2\n", ()),
        ("processor\t: 0\n", None),
    ],
)
def test_features_on_linux(text: str, features: tuple[str, ...] | None) -> None:
    assert features_of_linux(text) == features


def test_features_on_a_mac() -> None:
    apple = "hw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_I8MM: 0\nhw.optional.AdvSIMD: 1\nhw.optional.x: 1\n"
    assert features_of_apple(apple) == ("NEON", "NEON dot product")
    assert features_of_apple("hw.optional.avx2_0: 1\nhw.optional.avx512f: 0\n") == ("AVX2",)
    assert features_of_apple("sysctl: unknown oid\n") is None


def test_a_latency_is_of_a_processor_with_its_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(hardware, "CPUINFO", cpuinfo)
    cpuinfo.write_text("flags\t: avx2 fma\n")
    assert hardware.machine()["cpu_features"] == ["AVX2", "FMA"]
    cpuinfo.write_text("processor\t: 0\n")
    assert hardware.machine()["cpu_features"] is None


def test_torch_and_numpy() -> None:
    assert breaks.torch_and_numpy("pass") is None
    broken = breaks.torch_and_numpy("raise ImportError('numpy.core.multiarray failed to import')")
    assert broken is not None
    assert broken.detail == "they do not work together: ImportError: numpy.core.multiarray failed to import"
    assert broken.command.startswith("pip install 'numpy<3,>=1.26' 'torch<2.14,>=2.6' --force-reinstall")
    crashed = breaks.torch_and_numpy("import os; os.abort()")
    assert crashed is not None
    assert "Python ended with -6" in crashed.detail


def test_cuda_without_a_gpu(tmp_path: Path) -> None:
    torch = tmp_path / "torch"
    (torch / "lib").mkdir(parents=True)
    (tmp_path / "nvidia" / "cudnn").mkdir(parents=True)
    assert breaks.unused_cuda("2.13.0", torch, gpu=False) is None, "a build for the CPU"
    for file in (torch / "lib" / "libtorch_cuda.so", tmp_path / "nvidia" / "cudnn" / "libcudnn.so"):
        with file.open("wb") as opened:
            opened.truncate(2**30)  # a hole: it takes no place
    broken = breaks.unused_cuda("2.13.0+cu128", torch, gpu=False)
    assert broken is not None
    assert "take 2.0 GB, and no GPU" in broken.detail
    assert "torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu" in broken.command
    assert breaks.unused_cuda("2.13.0+cu128", torch, gpu=True) is None


def test_coremltools_without_its_native_part(tmp_path: Path) -> None:
    for system, missing in (("linux", "(libmilstoragepython)"), ("darwin", "(libmilstoragepython, libcoremlpython)")):
        broken = breaks.native_coremltools(tmp_path, system)
        assert broken is not None
        assert missing in broken.detail
        assert "pip install 'coremltools<10,>=9.0' --force-reinstall" in broken.command
    (tmp_path / "libmilstoragepython.so").touch()
    assert breaks.native_coremltools(tmp_path, "linux") is None
    broken = breaks.native_coremltools(tmp_path, "darwin")
    assert broken is not None
    assert "(libcoremlpython)" in broken.detail


@pytest.mark.parametrize(
    ("printed", "works"),
    [
        ("/Applications/Xcode.app/Contents/Developer", True),
        ("/Library/Developer/CommandLineTools", False),
        (None, False),
    ],
)
def test_xcode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str | None, works: bool) -> None:
    if printed:
        tool = tmp_path / "xcode-select"
        tool.write_text(f"#!/bin/sh\necho {printed}\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    broken = breaks.chosen_xcode()
    assert (broken is None) is works
    assert works or "sudo xcode-select --switch /Applications/Xcode.app" in str(broken)


def test_a_small_disk() -> None:
    assert breaks.small_disk(MACHINE) is None
    assert breaks.small_disk(replace(MACHINE, disk_free=None, temporary_free=None)) is None
    broken = breaks.small_disk(replace(MACHINE, temporary_free=2**30))
    assert broken is not None
    assert broken.detail == "little is free: 1.0 GB in the folder of temporary files"


def test_this_installation() -> None:
    found = breaks.find_breaks({"torch": "2.13.0", "coremltools": "9.0"}, MACHINE)
    assert {item.name for item in found} <= {"PyTorch for CUDA", "Xcode"}, "which the tests do without"
    assert breaks.find_breaks({"torch": None, "coremltools": None}, MACHINE) == ()


def test_each_break_and_lack_has_its_command(mvd: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(breaks, "SMALL_DISK", 2**62)
    shown = mvd("doctor").stdout
    for text in ("processor: ", "memory: ", "disk: little is free: ", "  export TMPDIR=", "adb"):
        assert text in shown
    assert "nothing that mvd knows of is broken" not in shown
