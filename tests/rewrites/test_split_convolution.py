from typing import Any

import pytest
import torch
from torch import nn

from mobilevit_deploy.rewrites.split_convolution import SplitConvolution
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
        (lambda m, x: m.conv(x).chunk(3, dim=1), {"groups": 2}, "grouped"),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: Any, options: Any, reason: str) -> None:
    result, _ = apply(Of(function, conv=nn.Conv2d(4, 12, 1, **options)), SplitConvolution(), 2, 4, 6, 6)
    assert result.applied == ()
    assert reason in result.refused[0].reason


class DropsTheBias(SplitConvolution):
    def _part(self, graph, convolution, name, weight, _, rows):  # type: ignore[no-untyped-def]
        return super()._part(graph, convolution, name, weight, None, rows)


class ShiftsTheRows(SplitConvolution):
    def _part(self, graph, convolution, name, weight, bias, rows):  # type: ignore[no-untyped-def]
        return super()._part(graph, convolution, name, weight.roll(1, 0), bias, rows)


@pytest.mark.parametrize("wrong", [DropsTheBias(), ShiftsTheRows()])
def test_a_wrong_version_is_caught(apply: Apply, wrong: SplitConvolution) -> None:
    module = Of(lambda m, x: m.conv(x).chunk(3, dim=1), conv=nn.Conv2d(5, 12, 1))
    result, rewritten = apply(module, wrong, 2, 5, 6, 6)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["conv2d"] == 1
