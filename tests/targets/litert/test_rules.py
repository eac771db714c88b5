"""What LiteRT's delegates take and do not take, by the table."""

import pytest

from mobilevit_deploy.targets.litert.rules import RULES, delegates
from mobilevit_deploy.targets.litert.tflite.operations import operations_of
from mobilevit_deploy.targets.litert.tflite.operators import builtin_names
from mobilevit_deploy.targets.litert.tflite.program import parse_program, read_program
from mobilevit_deploy.targets.operations import Operation, Shape, Tensor
from mobilevit_deploy.targets.rules import check
from tests.targets.litert.tflite.model_file import CUSTOM, Model
from tests.targets.litert.tflite.test_program import GOLDEN


def operation(kind: str, shape: Shape = (1, 8, 8, 4), dtype: str = "float32", after: str = "") -> Operation:
    return Operation(kind, "net.layer", (Tensor(shape, dtype),), (Tensor(shape, after or dtype),))


def findings(item: Operation) -> dict[str, str]:
    return {finding.rule: finding.detail for finding in check([item], RULES)}


def test_every_name_of_the_table_is_in_the_schema() -> None:
    for delegate in delegates().values():
        named = {
            *delegate.takes,
            *delegate.refuses,
            *delegate.ranks,
            *(op for ops in delegate.also.values() for op in ops),
        }
        assert {name.partition(":")[0] for name in named} <= builtin_names()
        assert delegate.source.startswith("LiteRT, ")
    assert [rule.name for rule in RULES] == ["outside_xnnpack", "outside_gpu", "outside_npu"]


@pytest.mark.parametrize(
    ("item", "rule", "detail"),
    [
        (operation("CAST"), "outside_xnnpack", "XNNPACK, on the processor: no such operator"),
        (operation("TRANSPOSE", (1, 2, 2, 2, 2)), "outside_gpu", "the GPU delegate: a tensor of 5 axes"),
        (operation("SLICE", (8, 4)), "outside_gpu", "the GPU delegate: 2 axes"),
        (operation("FLOOR"), "outside_npu", "MediaTek's NPU, through NeuroPilot: no such operator"),
    ],
)
def test_one_delegate_alone(item: Operation, rule: str, detail: str) -> None:
    assert findings(item) == {rule: detail}


def test_what_none_takes() -> None:
    found = findings(operation("CUSTOM:Detect"))
    assert list(found) == ["outside_xnnpack", "outside_gpu", "outside_npu"]
    assert found["outside_npu"].count("no such operator") == 4
    assert list(findings(operation("TRANSPOSE", dtype="int64"))) == ["outside_xnnpack", "outside_gpu", "outside_npu"]
    assert "outside_xnnpack" in findings(operation("TRANSPOSE", (1,) * 7))


def test_types_that_some_operators_have() -> None:
    assert "outside_gpu" not in findings(operation("GATHER", dtype="int32"))
    assert "outside_gpu" in findings(operation("RESHAPE", dtype="int32"))
    assert "outside_gpu" not in findings(operation("GREATER", after="bool"))
    assert "outside_gpu" in findings(operation("ADD", after="bool"))


def test_a_composite_by_its_name() -> None:
    attention = findings(operation("STABLEHLO_COMPOSITE:odml.scaled_dot_product_attention"))
    assert "outside_xnnpack" not in attention
    assert "Google" not in attention["outside_npu"]
    assert "Qualcomm" not in findings(operation("STABLEHLO_COMPOSITE:odml.rms_norm")).get("outside_npu", "")
    assert "Google" in findings(operation("STABLEHLO_COMPOSITE:mine"))["outside_npu"]


@pytest.mark.parametrize("kind", ["gelu", "topk", "aten::native_layer_norm.out"])
def test_a_captured_graph_is_not_meant(kind: str) -> None:
    assert findings(operation(kind, dtype="int64")) == {}


def test_xnnpack_and_a_weight_that_is_computed() -> None:
    image, weight = Tensor((1, 8), "float32"), Tensor((8, 8), "float32", constant=True)
    for second, expected in ((weight, None), (image, "a weight that is computed")):
        item = Operation("FULLY_CONNECTED", "net.layer", (image, second), (image,))
        assert delegates()["xnnpack"].dislike(item) == expected


@pytest.mark.parametrize(("zero_point", "left"), [(None, False), (0, False), (3, True)])
def test_xnnpack_and_a_zero_point(zero_point: int | None, left: bool) -> None:
    factor = Tensor((1, 8, 8), "int8", zero_point=zero_point)
    item = Operation("BATCH_MATMUL", "net.layer", (factor, factor), (factor,))
    assert (delegates()["xnnpack"].dislike(item) is not None) is left


LEFT = ["GELU", "FULLY_CONNECTED", "SOFTMAX", "BATCH_MATMUL"]


def test_files() -> None:
    found = check(operations_of(read_program(GOLDEN)), RULES)
    assert [item.op for item in found if item.rule == "outside_xnnpack"] == LEFT
    assert {item.rule for item in found} == {"outside_xnnpack"}
    model = Model(codes=[{0: ("b", CUSTOM), 1: "Detect"}])
    found = check(operations_of(parse_program(model.content(), "a.tflite")), RULES)
    assert [(item.op, item.at) for item in found] == [("CUSTOM:Detect", "result")] * 3


def test_the_runtime_leaves_what_the_rules_say() -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(model_path=str(GOLDEN))
    interpreter.allocate_tensors()
    (graph,) = read_program(GOLDEN).subgraphs
    parts = [item for item in interpreter._get_ops_details() if item["op_name"] == "DELEGATE"]
    taken = {int(number) for part in parts for number in part["outputs"]}
    crossing = {int(number) for part in parts for number in part["inputs"]} - taken
    computed = {number: item.kind for item in graph.operators for number in item.outputs}
    # The product in front of the softmax crosses into no part, for the softmax is left as well.
    assert [computed[number] for number in sorted(crossing) if number in computed] == [
        "GELU",
        "SOFTMAX",
        "BATCH_MATMUL",
    ]
