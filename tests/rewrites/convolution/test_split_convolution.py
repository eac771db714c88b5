from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.rewrites.convolution.split_convolution import SplitConvolution
from tests.rewrites.conftest import Apply, Of

SPELLINGS: dict[str, tuple[Any, int]] = {
    "chunk": (lambda y: y.chunk(3, dim=1), 3),
    "split": (lambda y: y.split(4, dim=1), 3),
    "sizes": (lambda y: torch.split(y, [2, 7, 3], dim=-3), 3),
    "uneven": (lambda y: y.chunk(5, dim=1), 4),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("bias", [True, False])
def test_fires(apply: Apply, spelling: str, bias: bool) -> None:
    function, parts = SPELLINGS[spelling]
    module = Of(
        lambda m, x: [part.relu() for part in function(m.conv(x))], conv=nn.Conv2d(5, 12, 3, padding=1, bias=bias)
    )
    result, rewritten = apply(module, SplitConvolution(), 2, 5, 6, 6)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"conv2d": parts, "relu": parts}


def test_a_part_that_nothing_reads_is_not_computed(apply: Apply) -> None:
    module = Of(lambda m, x: m.conv(x).chunk(3, dim=1)[1], conv=nn.Conv2d(5, 12, 1))
    _, rewritten = apply(module, SplitConvolution(), 2, 5, 6, 6)
    assert rewritten.graph.histogram() == {"conv2d": 1}
    assert rewritten.graph.weights["conv.weight_1"].shape == (4, 5, 1, 1)


@pytest.mark.parametrize(
    ("function", "options", "reason"),
    [
        (lambda m, x: m.conv(x).chunk(3, dim=2), {}, "not along the channels"),
        (lambda m, x: (lambda y: (y, y.chunk(3, dim=1)[0]))(m.conv(x)), {}, "read uncut too"),
        (lambda m, x: m.conv(x).chunk(4, dim=1), {"groups": 4}, "would have to be cut in its place"),
        (lambda m, x: m.conv(x).chunk(3, dim=1), {"groups": 2}, "through a group"),
        (lambda m, x: (lambda y: (y, m.conv(y).chunk(2, dim=1)[1]))(m.first(x)), {"groups": 4}, "read uncut too"),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: Any, options: Any, reason: str) -> None:
    module = Of(function, conv=nn.Conv2d(4, 12, 1, **options), first=nn.Conv2d(4, 4, 1))
    result, _ = apply(module, SplitConvolution(), 2, 4, 6, 6)
    assert result.applied == ()
    assert reason in result.refused[0].reason


@given(
    groups=st.sampled_from([2, 3, 6, 12]),
    multiplier=st.integers(1, 3),
    stride=st.integers(1, 2),
    bias=st.booleans(),
    parts=st.lists(st.integers(1, 6), min_size=2, max_size=4).filter(lambda sizes: sum(sizes) <= 12),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_grouped_convolutions_are_split_with_what_feeds_them(
    apply: Apply, groups: int, multiplier: int, stride: int, bias: bool, parts: list[int]
) -> None:
    sizes = [*parts, 12 - sum(parts)] if sum(parts) < 12 else parts
    module = Of(
        lambda m, x: [part.relu() for part in torch.split(m.grouped(m.conv(x)), [n * multiplier for n in sizes], 1)],
        conv=nn.Conv2d(5, 12, 1, bias=bias),
        grouped=nn.Conv2d(12, 12 * multiplier, 3, stride, padding="same" if stride == 1 else 1, groups=groups),
    )
    result, rewritten = apply(module, SplitConvolution(), 1, 5, 6, 6)
    whole = all(sum(sizes[:i]) * groups % 12 == 0 for i in range(len(sizes)))
    assert len(result.applied) == int(whole)
    expected = {"conv2d": 2 * len(sizes), "relu": len(sizes)} if whole else {"conv2d": 2, "relu": len(sizes)}
    found = rewritten.graph.histogram()
    assert {op: found[op] for op in expected} == expected


class Wrong(SplitConvolution):
    """Spoils the weights of every part, with what ``spoil`` makes of them."""

    def __init__(self, suffix: str, spoil: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.suffix, self.spoil = suffix, spoil

    def _part(self, graph: Graph, convolution: Node, index: int, rows: slice) -> Node:
        part = super()._part(graph, convolution, index, rows)
        for name in graph.weights:
            if name.endswith(self.suffix):
                graph.weights[name] = self.spoil(graph.weights[name])
        return part


WRONG = {
    "drops the bias": Wrong("_bias", torch.zeros_like),
    "shifts the rows": Wrong("weight_0", lambda weight: weight.roll(1, 0)),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("grouped", [False, True])
def test_a_wrong_version_is_caught(apply: Apply, wrong: str, grouped: bool) -> None:
    second = nn.Conv2d(12, 12, 3, groups=12) if grouped else nn.Identity()
    module = Of(lambda m, x: m.second(m.conv(x)).chunk(3, dim=1), conv=nn.Conv2d(5, 12, 1), second=second)
    result, rewritten = apply(module, WRONG[wrong], 2, 5, 6, 6)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["conv2d"] == 1 + grouped
