import pytest
import torch
from torch import nn

from mobilevit_deploy.rewrites.compatibility.add_bias import AddBias
from tests.rewrites.conftest import Apply, Of


def linear(bias: bool) -> nn.Linear:
    return nn.Linear(5, 5, bias=bias)


def biases(graph: "object") -> list[bool]:
    calls = graph.calls(torch.ops.aten.linear)  # type: ignore[attr-defined]
    return [len(node.args) > 2 and node.args[2] is not None for node in calls]


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_fires(apply: Apply, rank: int) -> None:
    module = Of(lambda m, x: m.first(x) + m.second(x.relu()), first=linear(False), second=linear(False))
    result, rewritten = apply(module, AddBias(), *[3] * (rank - 1), 5)
    assert len(result.applied) == 2
    assert result.max_abs_difference == 0
    assert biases(rewritten.graph) == [True, True]


def test_leaves_what_has_a_bias_and_what_is_not_added(apply: Apply) -> None:
    module = Of(lambda m, x: m.first(x) + m.second(x).relu(), first=linear(True), second=linear(False))
    result, rewritten = apply(module, AddBias(), 2, 5)
    assert not result.applied
    assert biases(rewritten.graph) == [True, False]


class Ones(AddBias):
    def rewrite(self, graph, node):  # type: ignore[no-untyped-def]
        super().rewrite(graph, node)
        graph.weights["bias_of_zeros"] = torch.ones_like(graph.weights["bias_of_zeros"])


def test_a_wrong_version_is_caught(apply: Apply) -> None:
    result, rewritten = apply(Of(lambda m, x: m.layer(x) + x, layer=linear(False)), Ones(), 2, 5)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert biases(rewritten.graph) == [False]
