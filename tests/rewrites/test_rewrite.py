"""The proof itself: what it measures, and that a graph is left as it was when a rewrite is taken back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mobilevit_deploy.rewrites.order import REWRITES
from mobilevit_deploy.rewrites.rewrite import PROOF_LIMIT, largest_difference, rewrite_graph
from tests.conftest import capture_model


@given(st.floats(1e-6, 1e6), st.floats(0, 1))
def test_differences_are_relative_to_the_largest_value(scale: float, share: float) -> None:
    before = torch.tensor([-scale, scale / 3], dtype=torch.float64)
    after = before + torch.tensor([0, share * scale], dtype=torch.float64)
    absolute, relative = largest_difference([before], [after])
    assert absolute == pytest.approx(share * scale, rel=1e-9, abs=1e-9 * scale)
    assert relative == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize("after", [torch.tensor([1.0, float("nan")]), torch.ones(3), torch.ones(2, 1)])
def test_nan_and_other_shapes_are_infinitely_different(after: torch.Tensor) -> None:
    assert largest_difference([torch.ones(2)], [after])[1] == float("inf")


def test_all_rewrites_together_on_a_model_that_needs_none() -> None:
    captured = capture_model(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), 1, 3, 8, 8)
    rewritten = rewrite_graph(captured.graph, REWRITES, torch.randn(1, 3, 8, 8))
    assert all(result.applied == () for result in rewritten.results)
    assert rewritten.graph.histogram() == captured.graph.histogram()


def test_the_captured_graph_is_left_alone_and_comes_back_in_float32() -> None:
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1)).eval()
    captured = capture_model(module, 1, 3, 8, 8)
    sample = torch.randn(1, 3, 8, 8)
    before = captured.graph.run(sample)[0]
    rewritten = rewrite_graph(captured.graph, REWRITES, sample)
    assert captured.graph.histogram() == {"batch_norm": 1, "conv2d": 1}
    assert torch.equal(captured.graph.run(sample)[0], before)
    assert rewritten.graph.histogram() == {"conv2d": 1}
    assert {value.dtype for value in rewritten.graph.weights.values()} == {torch.float32}
    assert torch.equal(module(sample), before)
    # One rounding of each folded weight to float32, 6e-8, over a sum of three terms.
    assert largest_difference([before], [rewritten.graph.to_module()(sample)])[1] < 1e-6


def test_dtypes_that_the_graph_names_are_raised_for_the_proof_and_lowered_again() -> None:
    class Upcast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)
            self.register_buffer("table", torch.arange(3, dtype=torch.float32).view(1, 3, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.conv(self.norm(x)).float().softmax(1, dtype=torch.float32)
            return y + self.get_buffer("table") + torch.ones(3, 1, 1, dtype=torch.float32)

    captured = capture_model(Upcast(), 1, 3, 4, 4)
    rewritten = rewrite_graph(captured.graph, REWRITES, torch.randn(1, 3, 4, 4))
    results = [result for result in rewritten.results if result.applied]
    assert [result.name for result in results] == ["remove_identities", "fold_constants", "fold_batch_norm"]
    for result in results:
        assert result.max_rel_difference is not None
        assert result.max_rel_difference < PROOF_LIMIT
    assert rewritten.graph.run(torch.randn(1, 3, 4, 4))[0].dtype == torch.float32


def test_constants_made_without_a_dtype_are_proved_in_float64_too() -> None:
    class Makes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(self.norm(x)).flatten(2)  # (B, 3, 16)
            # baddbmm and linear refuse operands of two dtypes
            y = torch.baddbmm(torch.zeros(1), y, y.transpose(1, 2) * torch.ones(1))
            return nn.functional.linear(y, torch.eye(3), torch.arange(3) / 3)

    captured = capture_model(Makes(), 1, 3, 4, 4)
    rewritten = rewrite_graph(captured.graph, REWRITES, torch.randn(1, 3, 4, 4))
    assert {"fold_constants", "fold_batch_norm"} <= {result.name for result in rewritten.results if result.applied}
    assert torch.get_default_dtype() == torch.float32
    assert {value.dtype for value in rewritten.graph.weights.values()} == {torch.float32}
