"""Which nodes become int8, and the figure that their cost is measured by."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.targets.onnx.qdq import choose_nodes
from mobilevit_deploy.targets.quantization import signal_to_noise


def rule(**settings: object) -> QuantizationRule:
    return QuantizationRule.model_validate({"op_types": ("MatMul", "Add"), "reason": "a test", **settings})


def test_products_of_activations_and_small_weights_stay_in_float() -> None:
    weights = [helper.make_tensor(name, TensorProto.FLOAT, [size], [0.0] * size) for name, size in (("w", 8), ("v", 4))]
    nodes = [
        helper.make_node("MatMul", ["q", "k"], ["a"], name="attention"),
        helper.make_node("MatMul", ["a", "w"], ["b"], name="large"),
        helper.make_node("MatMul", ["b", "v"], ["c"], name="small"),
        helper.make_node("Add", ["b", "c"], ["d"], name="sum"),
        helper.make_node("Softmax", ["d"], ["e"], name="softmax"),
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", [], [], weights))
    paths = {"large": "stage.0.fc", "sum": "stage.1"}

    def chosen(**settings: object) -> list[str]:
        return [node.name for node in choose_nodes(model, rule(**settings), paths)]

    assert chosen() == ["large", "small", "sum"]
    assert chosen(smallest_weight=8) == ["large", "sum"]
    assert chosen(keep_float=["stage.0"]) == ["small", "sum"]
    assert chosen(keep_float=["stage.?.fc", "stage.1"]) == ["small"]


def test_the_rules_of_the_catalog() -> None:
    assert {card.family.family for card in catalog.models().values() if card.family.quantization} == {
        "cas_vit",
        "cloformer",
        "lightvit",
        "saevit",
    }
    for card in catalog.models().values():
        if card.family.quantization:
            assert not {"Softmax", "LayerNormalization"} & set(card.family.quantization.op_types)


def test_signal_is_what_differs_between_images() -> None:
    expected = np.array([[1.0, 100.0], [-1.0, 100.0]], dtype=np.float32)
    noisy = expected + np.array([[0.1, 0.0], [0.1, 0.0]], dtype=np.float32)
    assert signal_to_noise([expected], [noisy]) == pytest.approx(20, abs=1e-4)
    assert signal_to_noise([expected], [expected]) == np.inf
    assert signal_to_noise([expected, expected], [expected, noisy]) == pytest.approx(20, abs=1e-4)
