from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mobilevit_deploy.rewrites.layout import merge_slices
from mobilevit_deploy.rewrites.layout.merge_slices import MergeSlices
from tests.rewrites.conftest import Apply, Of


def reshaped(_: Any, x: Tensor) -> Tensor:
    tokens, image = x[:, :2], x[:, 2:].reshape(2, 3, 2, 4).flatten(1, 2)
    return torch.cat([tokens, image], dim=1).relu()


FIRES: dict[str, tuple[Any, int]] = {
    "all of it": (lambda m, x: torch.cat([x[:, :3], x[:, 3:]], dim=1).relu(), 0),
    "three parts": (lambda m, x: torch.cat([x[..., :1], x[..., 1:3], x[..., 3:]], dim=-1).relu(), 0),
    "counted from the end": (lambda m, x: torch.cat([x[:, :-3], x[:, -3:]], dim=1).relu(), 0),
    "the middle": (lambda m, x: torch.cat([x[:, 1:3], x[:, 3:6]], dim=1).relu(), 1),
    "reshaped there and back": (reshaped, 0),
}


@pytest.mark.parametrize("case", FIRES)
def test_fires(apply: Apply, case: str) -> None:
    function, slices = FIRES[case]
    result, rewritten = apply(Of(function), MergeSlices(), 2, 8, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"relu": 1} | ({"slice": slices} if slices else {})


@given(st.lists(st.integers(0, 6), min_size=2, max_size=4))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_cuts_are_merged_or_refused(apply: Apply, ends: list[int]) -> None:
    """Slices from each number to the next are merged where the numbers grow, and what is not is left."""
    cuts = list(zip(ends, ends[1:], strict=False))  # noqa: RUF007 - pairs that may shrink

    def function(_: Any, x: Tensor) -> Tensor:
        return torch.cat([x[:, start:end] for start, end in cuts], dim=1).tanh()

    result, rewritten = apply(Of(function), MergeSlices(), 2, 6, 4)
    if all(start < end for start, end in cuts):
        assert rewritten.graph.histogram().get("cat", 0) == 0
    assert not any("not proved" in refused.reason for refused in result.refused)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: torch.cat([x[:, 3:], x[:, :3]], dim=1), "do not follow one another"),
        (lambda x: torch.cat([x[:, :3], x[:, 4:]], dim=1), "do not follow one another"),
        (lambda x: torch.cat([x[:, :3], x[:, :3]], dim=1), "do not follow one another"),
        (lambda x: torch.cat([x[:, :3], (x + 1)[:, 3:]], dim=1), "not slices of one tensor"),
        (lambda x: torch.cat([x[:, :4], x[:, 4:]], dim=2), "not slices of one tensor"),
        (lambda x: torch.cat([x[:, ::2], x[:, 1::2]], dim=1), "less than every element"),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: Any, reason: str) -> None:
    result, rewritten = apply(Of(lambda m, x: function(x)), MergeSlices(), 2, 8, 4)
    assert result.applied == ()
    assert reason in result.refused[0].reason
    assert rewritten.graph.histogram()["cat"] == 1


def test_leaves_parts_that_were_changed(apply: Apply) -> None:
    result, _ = apply(Of(lambda m, x: torch.cat([x[:, :3].relu(), x[:, 3:]], dim=1)), MergeSlices(), 2, 8, 4)
    assert not result.applied
    assert not result.refused


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    right = merge_slices.slice_range
    monkeypatch.setattr(merge_slices, "slice_range", lambda node: (1, right(node)[1] - 1, right(node)[2] - 1))
    result, rewritten = apply(Of(FIRES["the middle"][0]), MergeSlices(), 2, 8, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["cat"] == 1
