"""LiteRT files beside the whole road: what is noted and read, what is refused, and that a wrong file is found."""

import json
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import Result

from mobilevit_deploy.catalog import formats
from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.pipeline.provenance import parse
from mobilevit_deploy.targets.contents import compare
from mobilevit_deploy.targets.litert import child
from mobilevit_deploy.targets.litert import convert as litert
from mobilevit_deploy.targets.litert.contents import read_contents
from mobilevit_deploy.targets.litert.runner import LiteRTRunner
from mobilevit_deploy.targets.litert.tflite.app_metadata import ImageNote, read_note
from mobilevit_deploy.targets.litert.tflite.program import read_program
from mobilevit_deploy.targets.registry import describe_file
from tests.conftest import RESEARCH
from tests.export.test_inputs import MASKED, PAIR, WORDS
from tests.export.test_inputs import NET as SEVERAL
from tests.rewrites.conftest import Of
from tests.targets.litert.conversion import IMAGES, request_of

pytestmark = pytest.mark.usefixtures("litert")
NET = f"{RESEARCH / 'additive_net.py'}:build"
Mvd = Callable[..., Result]


def test_what_it_says_of_itself(tflite: Path) -> None:
    file = describe_file(tflite)
    assert (file.target, file.entries[0].shape) == ("litert", (1, 3, 32, 32))
    assert [(output.name, output.shape) for output in file.outputs] == [("logits", (1, 12))]
    noted = parse(file.metadata, tflite.name)
    assert noted is not None
    found = (noted.model, noted.recipe, noted.precision, noted.trained)
    assert found == ("additive_net_build", "litert", "fp32", False)
    assert str(RESEARCH) not in tflite.read_bytes().decode("latin1"), "no path of this machine"


def test_operations_have_their_modules(tflite: Path) -> None:
    found = {item.at for item in litert.read_operations(tflite) if item.kind in ("CONV_2D", "DEPTHWISE_CONV_2D")}
    assert {"stem.0", "body.0.to_qkv", "body.0.gate_a.excite", "body.0.local.0", "body.1"} <= found


def test_every_weight_has_a_name_and_a_module(tflite: Path, tmp_path: Path) -> None:
    contents = read_contents(tflite)
    assert compare(contents).status == "intact"
    weights = [item for item in contents.tensors if item.module]
    assert len({item.name for item in contents.tensors}) == len(contents.tensors)
    assert len(weights) >= 10
    content = bytearray(tflite.read_bytes())
    program = read_program(tflite)
    start, end = max(program.buffers, key=lambda place: place[1] - place[0])
    content[end - 1] ^= 1
    (changed := tmp_path / tflite.name).write_bytes(content)
    found = compare(read_contents(changed))
    assert (found.status, len(found.changed), found.graph_changed) == ("changed", 1, False)
    assert end > start


def test_names_and_order_of_several_outputs(tmp_path: Path) -> None:
    """And one output is the input as it came, which some converters refuse."""
    module = Of(lambda m, x: {"sum": x.sum((2, 3)), "image": x, "map": m.conv(x)}, conv=nn.Conv2d(3, 4, 1))
    request = request_of(tmp_path / "a.tflite", module)
    artifact = litert.convert(request)
    assert [output.name for output in describe_file(artifact.path).outputs] == ["sum", "image", "map"]
    found = LiteRTRunner(artifact.path).run(IMAGES[:1])
    expected = module(torch.from_numpy(IMAGES[:1]))
    for value, name in zip(found, expected, strict=True):
        assert np.abs(value - expected[name].detach().numpy()).max() < 1e-5


@pytest.mark.usefixtures("cold")
def test_the_same_bytes_twice(tmp_path: Path) -> None:
    """Also in processes that start anew."""
    for name in "ab":
        litert.convert(request_of(tmp_path / name, precision="int8"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.usefixtures("cold")
def test_nothing_of_the_logs_reaches_the_user(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    litert.convert(request_of(tmp_path / "a.tflite"))
    assert capfd.readouterr() == ("", "")


def test_a_refused_operation_is_named_with_module_and_line(tmp_path: Path) -> None:
    module = Of(lambda m, x: m.block(x), block=Of(lambda m, x: torch.special.bessel_j0(x)))
    with pytest.raises(ConversionError, match=r"LiteRT's converter refused the graph: .*special_bessel_j0.*in block"):
        litert.convert(request_of(tmp_path / "a.tflite", module))
    assert list(tmp_path.iterdir()) == []


def test_a_crash_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "WORKER", (sys.executable, "-c", "import os; input(); os.abort()"))
    with pytest.raises(ConversionError, match=r"LiteRT's converter ended its process on the graph: .*SIGABRT"):
        litert.convert(request_of(tmp_path / "a.tflite"))


def test_a_missing_package_is_one_line(mvd: Mvd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "missing_packages", lambda known: ["litert-torch"] if known.extra == "litert" else [])
    result = mvd("export", NET, "--to", "litert")
    assert result.exit_code == 1
    message, hint = result.stderr.splitlines()[-2:]
    assert message == "mvd: LiteRT needs litert-torch, not installed here"
    assert re.fullmatch(r"     pip install .*litert.*", hint), "it can be typed, wherever mvd came from"


def change_weight(content: bytearray, place: tuple[int, int]) -> None:
    content[place[1] - 4 : place[1]] = np.float32(3).tobytes()


def change_layout(content: bytearray, place: tuple[int, int]) -> None:
    """Writes a square weight down by its columns."""
    values = np.frombuffer(bytes(content[slice(*place)]), np.float32)
    content[slice(*place)] = values.reshape(12, 24).T.tobytes()


@pytest.mark.parametrize("spoil", [change_weight, change_layout])
def test_a_wrong_file_fails_the_comparison(mvd: Mvd, tflite: Path, spoil: Callable[..., None]) -> None:
    """In a weight of the head, and nothing else."""
    program = read_program(tflite)
    (value,) = [item for item in program.subgraphs[0].values if item.shape == (12, 24)]
    content = bytearray(tflite.read_bytes())
    spoil(content, program.buffers[value.buffer])
    Path("a.tflite").write_bytes(content)
    assert mvd("verify", tflite, "--model", NET).exit_code == 0
    result = mvd("verify", "a.tflite", "--model", NET, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["parity"]["status"] == "failed"


def test_a_wrong_program_is_found_by_an_export(mvd: Mvd, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export whose converter is given a graph with another activation."""
    real = litert.convert

    def wrong(request: Any) -> Any:
        for node in request.program.graph.nodes:
            if node.target == torch.ops.aten.sigmoid.default:
                node.target = torch.ops.aten.tanh.default
        return real(request)

    monkeypatch.setattr(litert, "convert", wrong)
    result = mvd("export", NET, "--input-size", 32, "--to", "litert")
    assert result.exit_code == 3
    assert not list(Path().glob("artifacts/*.tflite"))


def test_an_image_of_bytes(mvd: Mvd, tmp_path: Path) -> None:
    """As cameras and bitmaps give it, (1, H, W, 3): its normalisation is inside, and classes have names."""
    (tmp_path / "labels.txt").write_text("\n".join(f"class {i}" for i in range(12)))
    options = ("--image-input", "--mean", "0.5,0.4,0.3", "--std", "0.2,0.3,0.25", "--labels", tmp_path / "labels.txt")
    for precision, more in (("fp32", ()), ("int8", ("--calibrate", "structured"))):
        result = mvd(
            "export", NET, "--input-size", 32, "--to", "litert", "--precision", precision, *options, *more, "--json"
        )
        assert result.exit_code == 0, result.stderr
        (path,) = Path("artifacts").glob(f"*{precision}*.tflite")
        file = describe_file(path)
        assert (file.image, file.probabilities, file.labels[11]) == (True, True, "class 11")
        assert file.entries[0].shape == (1, 32, 32, 3)
        assert [output.name for output in file.outputs] == ["probabilities"]
        program = read_program(path)
        assert program.subgraphs[0].values[program.subgraphs[0].inputs[0]].dtype == "uint8"
        told = read_note(program)
        assert told is not None
        assert (told.image, told.labels) == (ImageNote("RGB", 32, 32, (0.0,), (1.0,)), file.labels)
        assert zipfile.ZipFile(path).read("labels.txt").decode().splitlines() == list(file.labels)
        kinds = [item.kind for item in litert.read_operations(path)]
        assert kinds[0] == "CAST"
        assert mvd("verify", path, "--model", NET).exit_code == 0
    colors = ("--image-input", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5")
    refused = mvd("export", NET, "--to", "litert", *colors, "--sizes", "64")
    assert refused.exit_code == 2
    assert "--sizes cannot be written to litert" in refused.stderr


def test_the_channels_come_last(mvd: Mvd) -> None:
    """As cameras and bitmaps have them: the convolution reads the array as it comes, and nothing is turned."""
    for layout, turned in (("nchw", 1), ("nhwc", 0)):
        out = Path(f"{layout}.tflite")
        done = mvd("export", NET, "--input-size", 32, "--to", "litert", "--layout", layout, "-o", out)
        assert done.exit_code == 0, done.stderr
        kinds = [item.kind for item in litert.read_operations(out)]
        assert kinds[:2].count("TRANSPOSE") == turned
    assert describe_file(out).inputs[0].shape == (1, 32, 32, 3)
    assert mvd("verify", out, "--model", NET).exit_code == 0


@pytest.mark.parametrize(("name", "inputs"), [("pair", PAIR), ("words", WORDS), ("masked", MASKED)])
def test_several_inputs(mvd: Mvd, name: str, inputs: tuple[str, ...]) -> None:
    """By their names, whatever their order in the file; and a file that mixes two of them up is found."""
    Path("net.py").write_text(SEVERAL)
    done = mvd("export", f"net.py:{name}", "--to", "litert", *inputs, "-o", "a.tflite")
    assert done.exit_code == 0, done.stderr
    assert {item.name for item in describe_file(Path("a.tflite")).inputs} == {
        text.split("=")[0] for text in inputs[1::2]
    }
    done = mvd("verify", "a.tflite", "--model", f"net.py:{name}")
    assert done.exit_code == 0, done.stderr


def test_what_names_of_classes_may_be(tflite: Path) -> None:
    assert [litert._labels({"mvd.labels": text}) for text in ("{", "3", "[" * 10**5, '["a", 1]')] == [
        *3 * [()], ("a", "1"),
    ]  # fmt: skip
    assert describe_file(tflite).labels == ()
