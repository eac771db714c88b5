"""The TOML file of ``mvd check``: what it says, and that nothing else is taken for it."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.checks.export_request import export_of
from mobilevit_deploy.checks.plan import read_checks
from mobilevit_deploy.errors import CatalogError

WHOLE = """
[[check]]
name = "small"
model = "cas_vit_xs"
to = "onnx"
checkpoint = "best.pth"
input_size = "64x96"
precision = "fp32"
[check.limits]
trained = true
max_bytes = 1000
max_ops = { total = 400, Transpose = 0 }
latency = { baseline = "base/xs.json", max_ratio = 1.1, threads = 2 }
accuracy = { images = "digits.npz", max_drop = 0.005 }

[[check]]
model = "cas_vit_xs"
to = "coreml"
input_size = 64
limits.neural_engine = { min_share = 0.95, device = "My iPhone" }

[[check]]
model = "cas_vit_xs"
to = "litert"
limits.android = { max_ms = 12.5, device = "pixel_8", tool = "tools/benchmark_model" }
"""


def test_a_whole_file_with_paths_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "checks.toml"
    file.write_text(WHOLE)
    first, second, third = read_checks(file)
    assert third.limits.android is not None
    assert third.limits.android.tool == tmp_path / "tools/benchmark_model"
    assert (first.title, second.title) == ("small", "cas_vit_xs to coreml")
    assert first.checkpoint == tmp_path / "best.pth"
    assert first.limits.latency is not None
    assert first.limits.latency.baseline == tmp_path / "base/xs.json"
    request = export_of(first, tmp_path / "out", None)
    assert (request.model.size, export_of(second, tmp_path, None).model.size) == ((64, 96), (64, 64))
    assert request.images == tmp_path / "digits.npz"
    assert second.limits.neural_engine is not None
    assert second.limits.neural_engine.min_share == 0.95


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_bytes", "max_byte", "max_byte: there is no such key; did you mean max_bytes?"),
        ("max_bytes = 1000", 'max_bytes = "many"', "max_bytes"),
        ("max_bytes = 1000", "max_bytes = -1", "must be more than 0"),
        ("Transpose = 0", "Transpose = -1", "max_ops.Transpose"),
        ("base/xs.json", "base/xs.txt", "a baseline is a .json"),
        ("base/xs.json", "base/xs.pte", "an earlier .onnx file"),
        ('to = "onnx"', 'to = "coreml"', "latency is measured on this machine"),
        ('to = "coreml"', 'to = "onnx"', "neural_engine is for"),
        ('to = "litert"', 'to = "coreml"', "limits.android is for to = 'litert' or 'onnx' or 'executorch'"),
        ("max_ms = 12.5", "max_ms = 0", "must be more than 0"),
        ("64x96", "64xx96", "is no size"),
        ("min_share = 0.95", "min_share = 95", "must be at most 1"),
        ('name = "small"', 'name = "cas_vit_xs to coreml"', "two checks are called"),
        ('model = "cas_vit_xs"\nto = "onnx"', 'to = "onnx"', "model: is missing"),
        ("[check.limits]", "[check.limit]", "limit: there is no such key; did you mean limits?"),
        ("[[check]]", "[[check]", "not TOML"),
        (WHOLE, "", "check: is missing"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "checks.toml"
    file.write_text(WHOLE.replace(old, new))
    with pytest.raises(CatalogError, match=words):
        read_checks(file)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot read"):
        read_checks(tmp_path / "none.toml")
    with pytest.raises(CatalogError, match="cannot read"):
        read_checks(tmp_path)
    (tmp_path / "large.toml").write_text("#" * 2**21)
    with pytest.raises(CatalogError, match="larger than"):
        read_checks(tmp_path / "large.toml")


CUT = st.tuples(st.integers(0, len(WHOLE)), st.text(max_size=5))


@settings(max_examples=200)
@given(st.binary(max_size=200) | CUT.map(lambda cut: (WHOLE[: cut[0]] + cut[1] + WHOLE[cut[0] + 1 :]).encode()))
def test_any_bytes_are_checks_or_a_message(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, suppress(CatalogError):
        file = Path(folder) / "checks.toml"
        file.write_bytes(content)
        assert read_checks(file)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "zeros.toml").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "zeros"):
        with pytest.raises(CatalogError, match="it is no file"):
            read_checks(tmp_path / f"{name}.toml")


@pytest.mark.parametrize("text", ["x = " + "1" * 5000, "x = " + "[" * 10_000, "\xff"])
def test_what_no_toml_reader_takes(tmp_path: Path, text: str) -> None:
    (tmp_path / "checks.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(CatalogError, match="is not TOML"):
        read_checks(tmp_path / "checks.toml")


def test_images_for_int8_are_beside_the_file_or_a_word(tmp_path: Path) -> None:
    (tmp_path / "checks.toml").write_text(
        '[[check]]\nname = "a"\nmodel = "m"\nto = "onnx"\nprecision = "int8"\ncalibrate = "images"\n'
        '[[check]]\nname = "b"\nmodel = "m"\nto = "onnx"\nprecision = "int8"\ncalibrate = "structured"\n'
        '[[check]]\nname = "c"\nmodel = "m"\nto = "onnx"\nprecision = "fp32"\ncalibrate = "images"\n'
    )
    first, second, third = (export_of(check, tmp_path, None) for check in read_checks(tmp_path / "checks.toml"))
    assert (first.calibrate, second.calibrate, third.calibrate) == (tmp_path / "images", Path("structured"), None)
