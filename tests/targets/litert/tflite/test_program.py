"""Reading .tflite files as bytes."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.litert.tflite.operations import macs, operations_of, weights_by_type
from mobilevit_deploy.targets.litert.tflite.program import (
    ABSENT,
    Operator,
    Program,
    Quantization,
    Signature,
    Value,
    parse_program,
    read_program,
)
from mobilevit_deploy.targets.litert.tflite.runtime import MinimumRuntime, minimum_runtime
from mobilevit_deploy.targets.operations import Operation, Tensor
from tests.support.attacks import tenths
from tests.targets.litert.tflite.model_file import CONV_2D, CUSTOM, DEQUANTIZE, INT8, Fields, Model

GOLDEN = Path(__file__).parents[3] / "golden" / "litert" / "attention_int8.tflite"
CONTENT = GOLDEN.read_bytes()


def read(model: Model) -> Program:
    return parse_program(model.content(), "a.tflite")


def test_what_a_file_of_litert_torch_holds() -> None:
    program = read_program(GOLDEN)
    (graph,) = program.subgraphs
    assert (program.description, graph.name) == ("MLIR Converted.", "main")
    assert [graph.values[i].shape for i in (*graph.inputs, *graph.outputs)] == [(1, 3, 16, 16), (1, 5)]
    assert program.signatures == (Signature("serving_default", 0, {"args_0": 0}, {"output_0": 27}),)
    assert [item.kind for item in graph.operators][:5] == ["TRANSPOSE", "PAD", "CONV_2D", "GELU", "DEPTHWISE_CONV_2D"]
    assert graph.operators[8].inputs[2] == ABSENT
    assert list(program.metadata) == ["min_runtime_version", "keep_stablehlo_constant"]
    image, weight = graph.values[0], graph.values[12]
    assert (image.dtype, image.quantization) == ("int8", Quantization((0.022519085556268692,), (7,), 0))
    assert weight.quantization is not None
    assert (weight.shape, len(weight.quantization.scales), weight.quantization.axis) == ((8, 3, 3, 3), 8, 0)
    assert len(program.data(weight.buffer)) == 216


def test_the_operations_that_rules_read() -> None:
    operations = list(operations_of(read_program(GOLDEN)))
    convolution = next(item for item in operations if item.kind == "CONV_2D")
    assert [tensor.shape for tensor in convolution.inputs] == [(1, 18, 18, 3), (8, 3, 3, 3), (8,)]
    assert convolution.at == "__main__.Net/torch.nn.modules.conv.Conv2d_conv;4"
    pad = operations[1]
    assert [tensor.shape for tensor in pad.inputs] == [(1, 16, 16, 3)], "how much is padded is no data"
    assert [item.kind for item in operations if item.last] == ["FULLY_CONNECTED"]
    # 64 places, and 27 * 8, 9 * 8 products; 8 * 8 * 64 each for both products of attention; the layer at the end
    assert sum(map(macs, operations)) == 64 * 27 * 8 + 64 * 9 * 8 + 2 * 8 * 8 * 64 + 8 * 5


def test_what_is_known_before_a_graph_runs() -> None:
    first, *_, product = [item for item in operations_of(read_program(GOLDEN)) if item.kind == "FULLY_CONNECTED"]
    assert [tensor.constant for tensor in first.inputs] == [False, False]
    assert [tensor.constant for tensor in product.inputs] == [False, True, True]
    assert [tensor.zero_point for tensor in product.inputs] == [10, 0, 0]
    unpacked = Model(
        codes=[{0: ("b", DEQUANTIZE)}, {0: ("b", CONV_2D)}],
        operators=[{0: ("I", 0), 1: [1], 2: [4]}, {0: ("I", 1), 1: [0, 4, 2], 2: [3]}],
    )
    unpacked.tensors.append({0: [3, 1, 1, 2], 3: "weight of half precision, unpacked"})
    *_, convolution = operations_of(read(unpacked))
    assert [tensor.constant for tensor in convolution.inputs] == [False, True, True]


def test_the_bytes_of_weights_by_type() -> None:
    assert weights_by_type(read_program(GOLDEN)) == {"int8": 328, "int32": 180}
    shared = Model()
    shared.tensors.append({0: [3, 1, 1, 2], 2: ("I", 1), 3: "the weight again"})
    assert weights_by_type(read(shared)) == {"float32": 24 + 12}


def test_what_the_runtime_must_be_by_the_operators_versions() -> None:
    found = minimum_runtime(read_program(GOLDEN))
    assert found == MinimumRuntime("2.9.0", "2.9.0", "GELU version 1", ())
    model = Model(
        codes=[{0: ("b", CONV_2D), 2: ("i", 8)}, {0: ("b", CUSTOM), 1: "Detect"}, {3: ("i", 300)}],
        operators=[{0: ("I", i), 1: [0, 1, 2], 2: [3]} for i in range(3)],
    )
    assert minimum_runtime(read(model)) == MinimumRuntime(
        "2.15.0", None, "CONV_2D version 8", ("Detect version 1", "UNKNOWN_300 version 1")
    )


@pytest.mark.parametrize(
    ("noted", "version", "newest"),
    [
        (b"2.19.0\0\0", "2.19.0", None),  # what a file says may be for a field that the table does not know of
        (b"1.9.0", "1.14.0", "CONV_2D version 3"),  # numbers, not letters: 1.9 is older than 1.14
        (b"\xff\xfe", "1.14.0", "CONV_2D version 3"),
        (b"newest", "1.14.0", "CONV_2D version 3"),
        (b"1" * 1000, "1.14.0", "CONV_2D version 3"),
    ],
)
def test_what_the_file_says_of_the_runtime(noted: bytes, version: str, newest: str | None) -> None:
    model = Model(metadata=[{0: "min_runtime_version", 1: ("I", 3)}])
    model.buffers.append({0: noted})
    found = minimum_runtime(read(model))
    assert (found.version, found.newest) == (version, newest)


def test_a_custom_operator_and_a_code_in_either_field() -> None:
    custom, convolution = {0: ("b", CUSTOM), 1: "Detect", 2: ("i", 2)}, {3: ("i", CONV_2D)}
    codes: list[Fields] = [custom, convolution, {0: ("b", 127), 3: ("i", 150)}]
    model = Model(codes=codes, operators=[{0: ("I", i), 1: [0], 2: [3]} for i in range(3)])
    program = read(model)
    assert program.subgraphs[0].operators == (
        Operator("CUSTOM", 2, "Detect", (0,), (3,)),
        Operator("CONV_2D", 1, "", (0,), (3,)),
        Operator("GELU", 1, "", (0,), (3,)),
    )
    assert [item.kind for item in operations_of(program)] == ["CUSTOM:Detect", "CONV_2D", "GELU"]


def test_axes_that_may_change() -> None:
    model = Model()
    model.tensors[0][7] = [-1, 4, 4, 2]
    program = read(model)
    assert program.subgraphs[0].values[0] == Value("image", (1, 4, 4, 2), (0,), "float32", 0)
    (operation,) = operations_of(program)
    assert operation.inputs[0].shape == ("?", 4, 4, 2)
    assert macs(operation) == 16 * 6


def test_quantization_by_blocks_is_another_scheme() -> None:
    model = Model()
    model.tensors[1] |= {1: ("b", INT8), 4: {4: ("B", 2), 5: {0: ("i", 2)}}}
    model.buffers[1] = {0: bytes(6)}
    assert read(model).subgraphs[0].values[1].quantization == Quantization((), (), 0, other=True)


def test_weights_behind_the_flatbuffer() -> None:
    model = Model(buffers=[{}, {1: ("Q", 4096), 2: ("Q", 24)}, {0: bytes(12)}])
    content = model.content().ljust(4096, b"\0") + bytes(range(24))
    assert bytes(parse_program(content, "a.tflite").data(1)) == bytes(range(24))
    for cut in (content[:-1], content[:4096]):
        with pytest.raises(ArtifactError, match="a list longer than the file"):
            parse_program(cut, "a.tflite")
    for size in (2**63, 2**64 - 1):
        model.buffers[1] = {1: ("Q", 4096), 2: ("Q", size)}
        with pytest.raises(ArtifactError, match="a list longer than the file"):
            read(model)


def test_weights_in_another_file() -> None:
    model = Model()
    model.tensors[1][10] = ("I", 7)
    with pytest.raises(ArtifactError, match="keeps its weights in another file"):
        read(model)


def wrong(change: str) -> Model:
    """Returns a model that refers to what is not there, or is of a size that nothing has."""
    model = Model()
    match change:
        case "an operator of no kind":
            model.operators[0] = {0: ("I", 1), 1: [0, 1, 2], 2: [3]}
        case "an input of no tensor":
            model.operators[0] = {0: ("I", 0), 1: [0, 1, 4], 2: [3]}
        case "an output of no tensor":
            model.operators[0] = {0: ("I", 0), 1: [0, 1, 2], 2: [ABSENT]}
        case "a tensor of no buffer":
            model.tensors[1][2] = ("I", 3)
        case "a metadata entry of no buffer":
            model.metadata.append({0: "a", 1: ("I", 3)})
        case "a signature of no graph":
            model.signatures.append({2: "a", 4: ("I", 1)})
        case "a signature of no tensor":
            model.signatures.append({0: [{0: "x", 1: ("I", 4)}], 2: "a"})
        case "a weight of other size":
            model.buffers[1] = {0: bytes(23)}
        case "a tensor of 2 TB":
            model.tensors[3][0] = [2**20, 2**20]
        case "no graph":
            model.more = {2: []}
        case _:
            model.tensors[3][0] = [-5]
    return model


@pytest.mark.parametrize(
    "change",
    [
        "an operator of no kind", "an input of no tensor", "an output of no tensor", "a tensor of no buffer",
        "a metadata entry of no buffer", "a signature of no graph", "a signature of no tensor",
        "a weight of other size", "a tensor of 2 TB", "no graph", "a size below zero",
    ],
)  # fmt: skip
def test_what_does_not_hold_together(change: str) -> None:
    with pytest.raises(ArtifactError, match=r"a\.tflite is damaged: "):
        read(wrong(change))


def test_what_is_no_file_of_this_kind(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is no file"):
        read_program(tmp_path)
    path = tmp_path / "a.tflite"
    path.write_bytes(CONTENT[:4] + b"TFL9" + CONTENT[8:])
    with pytest.raises(ArtifactError, match="is no TensorFlow Lite model, or damaged"):
        read_program(path)


@pytest.mark.parametrize("tenth", range(10))
def test_a_file_that_is_cut_off(tmp_path: Path, tenth: int) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(list(tenths(CONTENT))[tenth])
    with pytest.raises(ArtifactError, match=r"a\.tflite is (no TensorFlow Lite model|damaged)"):
        read_program(path)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(8, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_other_bytes(changes: list[tuple[int, int]]) -> None:
    """Whatever is written over a file, it is read, or refused as damaged."""
    content = bytearray(CONTENT)
    for place, value in changes:
        content[place] = value
    with suppress(ArtifactError):
        program = parse_program(bytes(content), "a.tflite")
        list(operations_of(program))
        minimum_runtime(program)
        weights_by_type(program)


@pytest.mark.parametrize(
    ("kind", "shapes", "result", "count"),
    [
        ("CONV_2D", [(1, 8, 8, 3), (16, 3, 3, 3)], (1, 4, 4, 16), 16 * 27 * 16),
        ("DEPTHWISE_CONV_2D", [(1, 8, 8, 6), (1, 3, 3, 6)], (1, 8, 8, 6), 64 * 9 * 6),
        ("TRANSPOSE_CONV", [(8, 2, 2, 4), (1, 4, 4, 4)], (1, 8, 8, 8), 16 * 128),
        ("FULLY_CONNECTED", [(5, 7), (3, 7)], (5, 3), 5 * 7 * 3),
        ("BATCH_MATMUL", [(2, 5, 7), (2, 7, 3)], (2, 5, 3), 2 * 5 * 7 * 3),
        ("BATCH_MATMUL", [(2, 7, 5), (2, 7, 3)], (2, 5, 3), 2 * 5 * 7 * 3),
        ("FULLY_CONNECTED", [(), ()], (), 1),
        ("ADD", [(5, 7), (5, 7)], (5, 7), 0),
    ],
)
def test_multiply_accumulates(kind: str, shapes: list[tuple[int, ...]], result: tuple[int, ...], count: int) -> None:
    inputs = tuple(Tensor(shape, "float32") for shape in shapes)
    assert macs(Operation(kind, "", inputs, (Tensor(result, "float32"),))) == count
