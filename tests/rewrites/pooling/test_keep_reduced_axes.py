from typing import Any

import pytest
import torch

from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.rewrites.pooling.keep_reduced_axes import KeepReducedAxes
from tests.rewrites.conftest import Apply, Of

aten = torch.ops.aten


@pytest.mark.parametrize("axes", [(2, 3), (-1, -2), (3, 2)])
def test_fires(apply: Apply, axes: tuple[int, int]) -> None:
    result, rewritten = apply(Of(lambda m, x: x.mean(axes)), KeepReducedAxes(), 2, 4, 6, 5)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"mean": 1, "reshape": 1}


@pytest.mark.parametrize(
    "function", [lambda m, x: x.mean((2, 3), keepdim=True), lambda m, x: x.mean(1), lambda m, x: x.mean((1, 2))]
)
def test_leaves_other_means_alone(apply: Apply, function: Any) -> None:
    result, rewritten = apply(Of(function), KeepReducedAxes(), 2, 4, 6, 5)
    assert (result.applied, result.refused) == ((), ())
    assert rewritten.graph.histogram() == {"mean": 1}


def test_refuses_another_dtype(apply: Apply) -> None:
    result, _ = apply(Of(lambda m, x: x.mean((2, 3), dtype=torch.float64)), KeepReducedAxes(), 2, 4, 6, 5)
    assert "changes the dtype" in result.refused[0].reason


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Graph.call

    def wrong(graph: Graph, op: Any, *given: Any, like: Any, **settings: Any) -> Any:
        return call(graph, aten.amax.default if op is aten.mean.dim else op, *given, like=like, **settings)

    monkeypatch.setattr(Graph, "call", wrong)
    result, rewritten = apply(Of(lambda m, x: x.mean((2, 3))), KeepReducedAxes(), 2, 4, 6, 5)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram() == {"mean": 1}
