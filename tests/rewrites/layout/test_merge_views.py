from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.rewrites.layout import merge_views
from mobilevit_deploy.rewrites.layout.merge_views import MergeViews
from mobilevit_deploy.rewrites.rewrite import rewrite_graph
from tests.conftest import capture_model
from tests.rewrites.conftest import Apply, Of

FIRES: dict[str, tuple[Any, dict[str, int]]] = {
    "reshapes": (lambda x: x.flatten(2).reshape(2, 2, 2, 20).relu(), {"reshape": 1, "relu": 1}),
    "reshapes that cancel": (lambda x: x.flatten(2).unflatten(2, (5, 4)).relu(), {"relu": 1}),
    "squeezed": (lambda x: x.unsqueeze(1).flatten(3).relu(), {"reshape": 1, "relu": 1}),
    "three reshapes": (lambda x: x.flatten(1).unsqueeze(1).reshape(2, 8, 10).relu(), {"reshape": 1, "relu": 1}),
    "permutations": (lambda x: x.transpose(1, 2).permute(0, 1, 3, 2).relu(), {"permute": 1, "relu": 1}),
    "transposes that cancel": (lambda x: x.transpose(-2, -1).transpose(2, 3).relu(), {"relu": 1}),
    "read between": (lambda x: (lambda y: y.relu() + y.mT.mT)(x.mT), {"mT": 2, "relu": 1, "add": 1}),
}


@pytest.mark.parametrize("case", FIRES)
def test_fires(apply: Apply, case: str) -> None:
    function, ops = FIRES[case]
    result, rewritten = apply(Of(lambda m, x: function(x)), MergeViews(), 2, 4, 5, 4)
    assert result.applied
    assert rewritten.graph.histogram() == ops
    assert result.max_abs_difference == 0


def test_leaves_a_permutation_between_reshapes(apply: Apply) -> None:
    result, rewritten = apply(Of(lambda m, x: x.flatten(2).mT.flatten(1)), MergeViews(), 2, 4, 5, 4)
    assert result.applied == ()
    assert sum(rewritten.graph.histogram().values()) == 3


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(4)), st.permutations(range(4)), st.permutations(range(4)))
def test_any_permutations(first: list[int], second: list[int], third: list[int]) -> None:
    module = Of(lambda m, x: x.permute(first).permute(second).permute(third).relu())
    sample = torch.randn(2, 3, 4, 5)
    rewritten = rewrite_graph(capture_model(module, 2, 3, 4, 5).graph, [MergeViews()], sample)
    assert rewritten.results[0].max_abs_difference == 0
    assert rewritten.graph.histogram().get("permute", 0) <= 1


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    original = merge_views.permutation
    monkeypatch.setattr(merge_views, "permutation", lambda node: original(node)[::-1])
    module = Of(lambda m, x: x.transpose(1, 2).permute(0, 2, 3, 1).relu())
    result, rewritten = apply(module, MergeViews(), 2, 4, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram() == {"transpose": 1, "permute": 1, "relu": 1}
