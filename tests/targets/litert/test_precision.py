"""Half precision, weights of 8 bits and int8: what is stored, which operators, and the legs without rounding."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn
from typer.testing import Result

from mobilevit_deploy.catalog.recipe import Precision
from mobilevit_deploy.errors import ArtifactError, ConversionError, UsageError
from mobilevit_deploy.runners.base import difference
from mobilevit_deploy.targets.artifact import Artifact
from mobilevit_deploy.targets.litert import convert as litert
from mobilevit_deploy.targets.litert.precision import choose
from mobilevit_deploy.targets.litert.runner import LiteRTRunner, open_unrounded
from mobilevit_deploy.targets.litert.tflite.program import Program, Value, read_program
from mobilevit_deploy.targets.registry import describe_file
from tests.conftest import RESEARCH
from tests.rewrites.conftest import Of
from tests.targets.litert.conversion import IMAGES, RULE, error_of, request_of

pytestmark = pytest.mark.usefixtures("litert")
NET = f"{RESEARCH / 'tiny_net.py'}:build"
LIMIT = 1e-5  # of the largest value: the recipe's tolerance in float32
Converted = dict[Precision, Artifact]


@pytest.fixture(scope="module")
def converted(litert: None, tmp_path_factory: pytest.TempPathFactory) -> Converted:  # noqa: ARG001 - it runs it
    found: Converted = {}
    for precision in ("fp16", "w8", "int8"):
        folder = tmp_path_factory.mktemp(precision)
        request = request_of(folder / "a.tflite", precision=precision)
        (folder / "steps").mkdir()
        found[precision] = litert_convert(replace(request, intermediates=folder / "steps"))
    return found


litert_convert = litert.convert


def weights_of(program: Program) -> list[Value]:
    return [value for value in program.subgraphs[0].values if len(program.data(value.buffer)) and len(value.shape) > 1]


@pytest.mark.parametrize(
    ("precision", "dtype", "share", "error"), [("fp16", "float16", 0.55, 5e-4), ("w8", "int8", 0.3, 0.02)]
)
def test_weights_are_stored_in_fewer_bits(
    converted: Converted, precision: Precision, dtype: str, share: float, error: float
) -> None:
    artifact = converted[precision]
    program = read_program(artifact.path)
    assert {value.dtype for value in weights_of(program)} == {dtype}
    assert artifact.bytes < share * artifact.intermediates[0].path.stat().st_size
    assert 1e-5 < error_of(artifact.path) < error  # 11 bits of a weight, and 8


def test_large_weights_lie_inside_the_file_where_kernels_want_them(litert: None, tmp_path: Path) -> None:  # noqa: ARG001
    """Google's quantizer puts more than 256 kB behind the FlatBuffer, where older runtimes do not look."""
    wide = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 640, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    artifact = litert_convert(request_of(tmp_path / "a.tflite", wide, "int8"))
    program = read_program(artifact.path)
    places = [program.buffers[value.buffer] for value in weights_of(program)]
    assert sum(end - start for start, end in places) > 2**18
    assert all(start % 16 == 0 for start, _ in places)


def test_layers_become_int8_and_the_borders_stay_float32(converted: Converted) -> None:
    artifact = converted["int8"]
    assert artifact.quantization is not None
    assert artifact.quantization.quantized == {"CONV_2D": 2, "FULLY_CONNECTED": 1}
    assert artifact.quantization.left["GELU"] == 1
    assert artifact.bytes < artifact.quantization.bytes_before
    layers = [item for item in litert.read_operations(artifact.path) if item.kind in ("CONV_2D", "FULLY_CONNECTED")]
    assert {(item.inputs[0].dtype, item.inputs[1].dtype) for item in layers} == {("int8", "int8")}
    assert [output.name for output in describe_file(artifact.path).outputs] == ["logits"]
    kernels = [value for value in weights_of(read_program(artifact.path)) if value.quantization]
    assert {len(value.quantization.scales) for value in kernels if value.quantization} == {16, 8, 20}, "per channel"
    assert error_of(artifact.path) < 0.05  # 8 bits of each of three layers


def test_int8_borders(mvd: Callable[..., Result]) -> None:
    """The array is int8, and what its numbers stand for stands in the report, the file and the card."""
    options = ("--input-size", 16, "--to", "litert", "--precision", "int8", "--calibrate", "structured")
    done = mvd("export", NET, *options, "--int8-io", "-o", "a.tflite", "--json")
    assert done.exit_code == 0, done.stderr
    (report,) = json.loads(done.stdout)["artifacts"]
    file = describe_file(Path("a.tflite"))
    for border, found in ((report["input"], file.inputs[0]), (report["outputs"][0], file.outputs[0])):
        assert found.steps is not None
        assert (border["type"], found.type) == ("int8", "int8")
        assert (border["scale"], border["zero_point"]) == (found.steps.scale, found.steps.zero_point)
        assert f"int8, of which a value is {found.steps.scale}" in Path("a.litert.md").read_text()
    done = mvd("verify", "a.tflite", "--model", NET)
    assert done.exit_code == 0, done.stderr
    assert f"int8 of {file.inputs[0].steps.scale:.6g} * (number " in done.stdout  # type: ignore[union-attr]
    runner, plain = LiteRTRunner(Path("a.tflite")), LiteRTRunner(Path("a.tflite"), reading="unrounded")
    assert difference(plain.run(IMAGES[:1])[0], runner.run(IMAGES[:1])[0]) < 0.05, "not the numbers, the values"


def test_what_does_not_go_with_int8_borders(mvd: Callable[..., Result]) -> None:
    int8 = ("--precision", "int8", "--calibrate", "structured", "--int8-io")
    colors = ("--image-input", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5")
    for target, options, said in (
        ("litert", ("--int8-io",), "--int8-io is for int8"),
        ("litert", (*int8, *colors), "bytes already"),
        ("coreml", ("--int8-io",), "cannot be written to coreml"),
    ):
        done = mvd("export", NET, "--input-size", 16, "--to", target, *options)
        assert done.exit_code == 2
        assert said in done.stderr


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", "float16"), ("w8", "int8")])
def test_a_module_keeps_its_weights(mvd: Callable[..., Result], precision: str, dtype: str) -> None:
    options = ("--input-size", 16, "--to", "litert", "--precision", precision, "--keep-fp32", "4")
    done = mvd("export", NET, *options, "-o", "a.tflite")
    assert done.exit_code == 0, done.stderr
    found = {value.shape: value.dtype for value in weights_of(read_program(Path("a.tflite")))}
    assert (found[8, 3, 3, 3], found[10, 8]) == (dtype, "float32")


def test_wrong_ranges_are_seen(tmp_path: Path) -> None:
    """Ranges that a hundredth of each image was measured on cut off the rest: above the recipe's tolerance of 0.2."""
    artifact = litert.convert(request_of(tmp_path / "a.tflite", precision="int8", scale=0.01))
    assert error_of(artifact.path) > 0.2


def test_a_rule_is_kept(converted: Converted) -> None:
    path = converted["int8"].intermediates[0].path
    program = read_program(path)

    def kinds(**change: object) -> list[str]:
        return sorted(choose(program, RULE.model_copy(update=change), path.name).values())

    assert kinds(keep_float=("0",)) == ["CONV_2D", "FULLY_CONNECTED"]
    assert kinds(op_types=("CONV_2D",)) == ["CONV_2D", "CONV_2D"]
    assert kinds(smallest_weight=200) == ["CONV_2D", "FULLY_CONNECTED"]
    assert kinds(op_types=("GELU",), smallest_weight=10**6) == ["GELU"], "which has no weight"


def test_what_cannot_be(tmp_path: Path) -> None:
    request = request_of(
        tmp_path / "a", precision="int8", rule=RULE.model_copy(update={"op_types": ("CONCATENATION",)})
    )
    with pytest.raises(ConversionError, match="nothing to quantise"):
        litert.convert(request)
    request = request_of(tmp_path / "a", precision="int8")
    assert request.quantization is not None
    with pytest.raises(UsageError, match="ONNX only"):
        litert.convert(replace(request, quantization=replace(request.quantization, sensitivity=True)))


def unrounded(artifact: Artifact, small: Path | None = None) -> float:
    """Returns how far a file without rounding is from the float32 one with its weights."""
    float32, small = artifact.intermediates[0].path, small or artifact.path
    openers = (
        open_unrounded(small, None, "unrounded", None),
        open_unrounded(float32, None, "rounded constants", small),
    )
    found, expected = (
        np.concatenate([runner.run(x[None])[0] for x in IMAGES[:4]]) for runner in (o() for o in openers)
    )
    return difference(expected, found)


@pytest.mark.parametrize("precision", ["fp16", "w8", "int8"])
def test_without_rounding_a_file_is_its_float32_twin(converted: Converted, precision: Precision) -> None:
    assert unrounded(converted[precision]) < LIMIT
    assert error_of(converted[precision].path) > 10 * LIMIT, "the file itself rounds"


def layer(path: Path) -> tuple[Program, bytearray]:
    return read_program(path), bytearray(path.read_bytes())


def wrong_weight(path: Path) -> bytearray:
    """The largest weight of a layer is its negative."""
    program, content = layer(path)
    value = max(weights_of(program), key=lambda item: len(program.data(item.buffer)))
    start, end = program.buffers[value.buffer]
    kind = np.dtype(value.dtype)
    values = np.frombuffer(bytes(content[start:end]), kind).copy()
    values[np.abs(values.astype(np.float32)).argmax()] *= -1
    content[start:end] = values.tobytes()
    return content


def wrong_scale(path: Path) -> bytearray:
    """The scale of one channel is 1 % off."""
    program, content = layer(path)
    scale = next(value.quantization.scales[3] for value in weights_of(program) if value.quantization)
    place = bytes(content).index(np.float32(scale).tobytes())
    content[place : place + 4] = (np.float32(scale) * np.float32(1.01)).tobytes()
    return content


def wrong_activation(path: Path) -> bytearray:
    """The activation that a convolution ends in is left out."""
    from ai_edge_litert.schema_py_generated import ActivationFunctionType
    from ai_edge_litert.tools.flatbuffer_utils import convert_object_to_bytearray, read_model_from_bytearray

    model = read_model_from_bytearray(path.read_bytes())
    options: list[Any] = [item.builtinOptions for item in model.subgraphs[0].operators]
    (found,) = [item for item in options if getattr(item, "fusedActivationFunction", 0) == ActivationFunctionType.RELU]
    found.fusedActivationFunction = ActivationFunctionType.NONE
    return bytearray(convert_object_to_bytearray(model))


WRONG: list[tuple[Precision, Callable[[Path], bytearray]]] = [
    ("fp16", wrong_weight), ("w8", wrong_weight), ("int8", wrong_weight),
    ("w8", wrong_scale), ("int8", wrong_scale), ("fp16", wrong_activation), ("int8", wrong_activation),
]  # fmt: skip


@pytest.mark.parametrize(("precision", "spoil"), WRONG)
def test_a_wrong_conversion_shows(
    converted: Converted, precision: Precision, spoil: Callable[[Path], bytearray], tmp_path: Path
) -> None:
    (wrong := tmp_path / "a.tflite").write_bytes(spoil(converted[precision].path))
    assert unrounded(converted[precision], wrong) > 10 * LIMIT


def test_other_operators_are_refused(converted: Converted, tmp_path: Path) -> None:
    other = litert.convert(request_of(tmp_path / "a.tflite", Of(lambda m, x: x.sigmoid().mean((2, 3)))))
    with pytest.raises(ArtifactError, match="other operators"):
        unrounded(converted["int8"], other.path)


def test_the_command(mvd: Callable[..., Result]) -> None:
    np.savez("images.npz", images=IMAGES)
    for precision, legs in (("fp16", 5), ("int8", 5), ("w8", 4)):
        options = ("--calibrate", "structured") if precision == "int8" else ()
        result = mvd("export", NET, "--input-size", 16, "--to", "litert", "--precision", precision, "-v", *options)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.count("passed") == legs
