from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mobilevit_deploy.graph import axis_groups
from mobilevit_deploy.graph.axis_groups import Groups
from mobilevit_deploy.graph.axis_movement import MAX_RANK
from mobilevit_deploy.graph.graph import Graph, shape
from mobilevit_deploy.rewrites.layout import merge_axes
from mobilevit_deploy.rewrites.layout.flatten_windows import FlattenWindows
from mobilevit_deploy.rewrites.layout.merge_axes import MergeAxes
from mobilevit_deploy.rewrites.rewrite import rewrite_graph
from tests.conftest import capture_model
from tests.rewrites.conftest import Apply, Of

SIZE = (2, 6, 6, 4)


def windows(x: Tensor) -> Tensor:
    return x.view(2, 2, 3, 2, 3, 4)


def window_means(x: Tensor) -> Tensor:
    return windows(x).mean((2, 4))


def relative_positions(x: Tensor) -> Tensor:
    """Adds what depends on the row, and what depends on the column, to an attention map, as MViT does."""
    scores = (x.flatten(1, 2) @ x.flatten(1, 2).mT).view(2, 6, 6, 6, 6).unsqueeze(1)
    rows, columns = x.softmax(-1)[..., :1], x.sigmoid()[..., :1]
    scores = scores + (x @ rows.mT.expand(2, 6, 4, 6)).unsqueeze(-1).unsqueeze(1)
    scores = scores + (x @ columns.mT.expand(2, 6, 4, 6)).unsqueeze(-2).unsqueeze(1)
    return scores.view(2, 1, 36, 36).softmax(-1)


def in_seven(x: Tensor) -> Tensor:
    y = x.view(2, 2, 3, 2, 3, 2, 2)
    return (y + y.sum((1, 3, 5), keepdim=True)).flatten(3)


CALLS: dict[str, Callable[[Tensor], Any]] = {
    "window means": window_means,
    "relative positions": relative_positions,
    "seven axes": in_seven,
    "all": lambda x: windows(x).mean(),
    "amax": lambda x: windows(x).amax((1, 3), keepdim=True).flatten(0, 3),
    "var": lambda x: windows(x).var((1, 3, 5)),
    "broadcast": lambda x: (windows(x) + windows(x)[..., :1] + windows(x)[:, :, :1]).flatten(3),
    "constant": lambda x: (windows(x) * torch.arange(12.0).view(3, 1, 1, 4)).flatten(2),
    "where": lambda x: torch.where(windows(x) > 0, windows(x), 0.1).masked_fill(windows(x)[:, :, :1] > 1, 2.0).sum(2),
    "softmax": lambda x: windows(x).softmax(3).flatten(1),
    "cumsum": lambda x: windows(x).cumsum(2).flatten(2),
    "slice": lambda x: windows(x)[:, :, 1:, :, :2].flatten(2),
    "select": lambda x: windows(x)[:, :, -1, :, 2] * 1.5,
    "index": lambda x: windows(x)[:, :, [2, 0]].flatten(2),
    "flip": lambda x: windows(x).flip((1, 4)).flatten(2),
    "cat": lambda x: torch.cat([windows(x), windows(x)[:, :, :1] * 2], -4).flatten(3),
    "stack": lambda x: torch.stack([windows(x)[:, :, 0], windows(x)[:, :, 1] * 2], -3).flatten(3),
    "unbind": lambda x: sum(windows(x).unbind(3)),
    "chunk": lambda x: torch.cat(windows(x).chunk(2, 3)[::-1], 3).flatten(3),
    "topk": lambda x: windows(x).topk(2, 3)[0].flatten(2),
    "argmax": lambda x: windows(x).argmax(3).flatten(1),
    "expand": lambda x: windows(x)[:, :, :, :1].expand(-1, -1, -1, 5, -1, -1).flatten(3),
    "repeat": lambda x: windows(x).repeat(1, 2, 1, 1, 3, 1).flatten(3),
    "pad": lambda x: F.pad(windows(x), (1, 2, 0, 0, 1, 0)).flatten(2),
    "matmul": lambda x: (windows(x) @ windows(x)[:, :, :1].mT).flatten(3),
    "linear": lambda x: F.linear(windows(x), torch.arange(8.0).view(2, 4)).flatten(3),
    "layer norm": lambda x: F.layer_norm(windows(x), (3, 4)).flatten(3),
    "attention": lambda x: F.scaled_dot_product_attention(windows(x), windows(x) + 1, windows(x)).flatten(3),
}


def rewrite(function: Callable[[Tensor], Any], *size: int) -> tuple[Any, Graph]:
    """Rewrites a function with this rewrite and the one behind it."""
    sample = torch.randn(size, generator=torch.Generator().manual_seed(1))
    captured = capture_model(Of(lambda m, x: function(x)), *size)
    rewritten = rewrite_graph(captured.graph, [MergeAxes(), FlattenWindows()], sample)
    return rewritten.results, rewritten.graph


def largest_rank(graph: Graph) -> int:
    return max(len(shape(node)) for node in graph.nodes if isinstance(node.meta.get("val"), Tensor))


@pytest.mark.parametrize("call", CALLS)
def test_fires(call: str) -> None:
    results, graph = rewrite(CALLS[call], *SIZE)
    assert results[0].applied
    assert all(result.refused == () for result in results)
    assert largest_rank(graph) <= MAX_RANK


def test_leaves_five_axes_alone(apply: Apply) -> None:
    result, _ = apply(Of(lambda m, x: x.view(2, 2, 3, 6, 4).relu().mean(1)), MergeAxes(), *SIZE)
    assert not result.applied
    assert not result.refused


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: torch.einsum("abcdef,abcgef->abcdgf", windows(x), windows(x)), "einsum treats alike"),
        (lambda x: windows(x)[:, :, [2, 0], [1, 0]], "index treats alike"),
        (lambda x: windows(x).flip((0, 1, 2, 3, 4, 5)), "tells more than 5 axes apart"),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: Any, reason: str) -> None:
    result, _ = apply(Of(lambda m, x: function(x)), MergeAxes(), *SIZE)
    assert result.applied == ()
    assert reason in result.refused[0].reason


@given(data=st.data())
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_sum_and_reduction_is_proved(apply: Apply, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 3), min_size=6, max_size=7))
    kept = data.draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    axes = data.draw(st.sets(st.integers(0, len(lengths) - 1), min_size=1))
    keepdim = data.draw(st.booleans())
    size = [torch.Size(lengths).numel(), 1, 2, 2]

    def compute(_: Any, x: Tensor) -> Tensor:
        y = x.sum((1, 2, 3)).view(lengths)
        part = y[tuple(slice(None) if keep else slice(1) for keep in kept)]
        return (y * part).sum(tuple(axes), keepdim)

    result, _ = apply(Of(compute), MergeAxes(), *size)
    assert result.applied
    assert result.refused == ()


def _unordered(roles: Any, single: Any, max_rank: int) -> Groups | None:
    found = axis_groups.group_axes(roles, single, max_rank)
    return found and Groups(found.rank, (*found.order[1:], found.order[0]), found.members)


def _shifted(roles: Any, single: Any, max_rank: int) -> Groups | None:
    return axis_groups.group_axes([*roles[1:], roles[0]], single, max_rank)


@pytest.mark.parametrize("wrong", [_unordered, _shifted])
def test_a_wrong_version_is_caught(monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    monkeypatch.setattr(merge_axes, "group_axes", wrong)
    results, _ = rewrite(window_means, *SIZE)
    assert results[0].applied == ()


@pytest.mark.parametrize("call", ["softmax", "select", "pad"])
def test_a_wrong_axis_is_caught(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    right = Groups.place
    monkeypatch.setattr(Groups, "place", lambda self, axis: (right(self, axis) + 1) % len(self.members))
    results, _ = rewrite(CALLS[call], *SIZE)
    assert results[0].applied == ()
    assert results[0].refused
