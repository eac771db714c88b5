from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mobilevit_deploy.rewrites.normalization import fold_batch_norm
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import FoldBatchNorm
from mobilevit_deploy.rewrites.rewrite import rewrite_graph
from tests.conftest import capture_model
from tests.rewrites.conftest import Apply, Of, randomise

FIRES = {
    "after a convolution": (nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)), (2, 4, 8, 8)),
    "after a depthwise one": (nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.BatchNorm2d(4)), (2, 4, 8, 8)),
    "after a transposed one": (
        nn.Sequential(nn.ConvTranspose2d(4, 6, 2, 2, groups=2), nn.BatchNorm2d(6)),
        (2, 4, 8, 8),
    ),
    "after a linear layer": (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)), (5, 4)),
    "before a 1x1": (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1, bias=False)), (2, 4, 8, 8)),
    "before a grouped 1x1": (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1, groups=2)), (2, 4, 8, 8)),
    "before an unpadded 3x3": (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, stride=2)), (2, 4, 9, 9)),
    "before a linear layer": (nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 6, bias=False)), (5, 4)),
    "without gain": (nn.Sequential(nn.BatchNorm2d(4, affine=False), nn.Conv2d(4, 6, 1)), (2, 4, 8, 8)),
    "through the mean": (
        Of(lambda m, x: m.head(m.norm(x).mean((2, 3))), norm=nn.BatchNorm2d(4), head=nn.Linear(4, 3)),
        (2, 4, 8, 8),
    ),
    "through a kept mean and a view": (
        Of(
            lambda m, x: m.head(m.norm(x).mean((-1, -2), keepdim=True).flatten(1)),
            norm=nn.BatchNorm2d(4),
            head=nn.Linear(4, 3),
        ),
        (2, 4, 8, 8),
    ),
    "through a pool": (nn.Sequential(nn.BatchNorm2d(4), nn.AvgPool2d(2), nn.Conv2d(4, 6, 1)), (2, 4, 8, 8)),
    "into both readers": (
        Of(
            lambda m, x: (lambda n: m.a(n) + m.b(n))(m.norm(x)),
            norm=nn.BatchNorm2d(4),
            a=nn.Conv2d(4, 6, 1),
            b=nn.Conv2d(4, 6, 1),
        ),
        (2, 4, 8, 8),
    ),
    "beside a residual": (
        Of(lambda m, x: x + m.conv(m.norm(x * 2)), norm=nn.BatchNorm2d(4), conv=nn.Conv2d(4, 4, 1)),
        (2, 4, 8, 8),
    ),
}


@pytest.mark.parametrize("case", FIRES)
def test_fires(apply: Apply, case: str) -> None:
    module, shape = FIRES[case]
    result, rewritten = apply(module, FoldBatchNorm(), *shape)
    assert len(result.applied) == 1
    assert "batch_norm" not in rewritten.graph.histogram()
    assert not any("running" in name for name in rewritten.graph.weights)


REFUSES = {
    "across zero padding": (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding=1)), "pads with zeros"),
    "across same padding": (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding="same")), "pads with zeros"),
    "read by the output": (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4)), "read by the output"),
    "read by an activation": (nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1)), "read by relu"),
    "before a padded pool": (
        nn.Sequential(nn.BatchNorm2d(4), nn.AvgPool2d(2, padding=1), nn.Conv2d(4, 6, 1)),
        "read by avg_pool2d",
    ),
    "batch statistics": (
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        "statistics of the batch",
    ),
    "one reader pads": (
        Of(
            lambda m, x: (lambda n: m.a(n) + m.b(n))(m.norm(x)),
            norm=nn.BatchNorm2d(4),
            a=nn.Conv2d(4, 6, 1),
            b=nn.Conv2d(4, 6, 3, padding=1),
        ),
        "pads with zeros",
    ),
    "layer read elsewhere": (
        Of(lambda m, x: (lambda y: y + m.norm(y))(m.conv(x)), norm=nn.BatchNorm2d(4), conv=nn.Conv2d(4, 4, 1)),
        "read elsewhere too",
    ),
}


@pytest.mark.parametrize("case", REFUSES)
def test_refuses_with_a_reason(apply: Apply, case: str) -> None:
    module, reason = REFUSES[case]
    result, rewritten = apply(module, FoldBatchNorm(), 2, 4, 8, 8)
    assert result.applied == ()
    assert reason in result.refused[0].reason
    assert rewritten.graph.histogram()["batch_norm"] == 1


def test_a_shared_weight_is_not_changed_for_its_other_reader(apply: Apply) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.norm(self.conv(x)) + self.conv(x.relu())
            return y

    result, rewritten = apply(Shared(), FoldBatchNorm(), 2, 4, 8, 8)
    assert len(result.applied) == 1
    assert sorted(rewritten.graph.weights) == ["conv.bias", "conv.bias_2", "conv.weight", "conv.weight_2"]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 2), st.booleans(),
    st.booleans(), st.integers(0, 1),
)  # fmt: skip
def test_any_convolution(
    groups: int, wide_in: int, wide_out: int, kernel: int, stride: int, bias: bool, first: bool, padding: int
) -> None:
    """Before or after, any setting: folded and proved, or refused across padding."""
    convolution = nn.Conv2d(groups * wide_in, groups * wide_out, kernel, stride, padding, groups=groups, bias=bias)
    channels = groups * (wide_in if first else wide_out)
    layers: list[nn.Module] = [nn.BatchNorm2d(channels), convolution]
    module = nn.Sequential(*(layers if first else layers[::-1]))
    randomise(module)
    captured = capture_model(module, 1, groups * wide_in, 7, 6)
    result = rewrite_graph(captured.graph, [FoldBatchNorm()], torch.randn(1, groups * wide_in, 7, 6)).results[0]
    assert bool(result.applied) != (first and padding > 0)
    assert all("not proved" not in refused.reason for refused in result.refused)


def without_shift(graph: Any, node: Any) -> Any:
    scale, shift = ORIGINAL(graph, node)
    return scale, torch.zeros_like(shift)


def without_epsilon(graph: Any, node: Any) -> Any:
    scale, shift = ORIGINAL(graph, node)
    return scale * (1 + 5e-9), shift


ORIGINAL = fold_batch_norm.scale_and_shift


@pytest.mark.parametrize("wrong", [without_shift, without_epsilon])
@pytest.mark.parametrize("case", ["after a convolution", "before a 1x1", "through the mean"])
def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch, wrong: Any, case: str) -> None:
    monkeypatch.setattr(fold_batch_norm, "scale_and_shift", wrong)
    module, shape = FIRES[case]
    result, rewritten = apply(module, FoldBatchNorm(), *shape)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["batch_norm"] == 1


def test_folding_across_padding_would_be_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_batch_norm, "_pads", lambda convolution: False)
    module, _ = REFUSES["across zero padding"]
    result, _ = apply(module, FoldBatchNorm(), 2, 4, 8, 8)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason


def _levels(m: Any, x: torch.Tensor) -> list[torch.Tensor]:
    return [m.norm(m.conv(level)) for level in (x, x[..., ::2, ::2], x[..., ::4, ::4])]


def test_a_layer_that_several_maps_share_is_shared_afterwards(apply: Apply) -> None:
    """As in a detector's head: its weights were in the file once for each level."""
    shared = Of(_levels, conv=nn.Conv2d(4, 6, 3, padding=1, bias=False), norm=nn.BatchNorm2d(6))
    result, rewritten = apply(shared, FoldBatchNorm(), 2, 4, 8, 8)
    assert len(result.applied) == 3
    assert sorted(value.numel() for value in rewritten.graph.weights.values()) == [6, 4 * 6 * 9]


def test_norms_of_their_own_leave_no_layer_shared(apply: Apply) -> None:
    def forward(m: Any, x: torch.Tensor) -> list[torch.Tensor]:
        return [norm(m.conv(x)) for norm in m.norms]

    separate = Of(forward, conv=nn.Conv2d(4, 6, 1), norms=nn.ModuleList(nn.BatchNorm2d(6) for _ in range(3)))
    result, rewritten = apply(separate, FoldBatchNorm(), 2, 4, 8, 8)
    assert len(result.applied) == 3
    assert sorted(value.numel() for value in rewritten.graph.weights.values()) == [6] * 3 + [24] * 3


def test_sharing_what_is_not_equal_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(m: Any, x: torch.Tensor) -> list[torch.Tensor]:
        return [norm(m.conv(x)) for norm in m.norms]

    monkeypatch.setattr(torch, "equal", lambda first, second: first.shape == second.shape)
    separate = Of(forward, conv=nn.Conv2d(4, 6, 1), norms=nn.ModuleList(nn.BatchNorm2d(6) for _ in range(2)))
    result, _ = apply(separate, FoldBatchNorm(), 2, 4, 8, 8)
    assert any("not proved" in refused.reason for refused in result.refused)
