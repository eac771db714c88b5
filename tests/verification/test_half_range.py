"""What half precision does not hold is warned of, and a mask is not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilevit_deploy.runners.rewritten_graph import GraphRunner
from mobilevit_deploy.verification.half_range import warn_of_overflow
from tests.conftest import capture_model

LEAST = torch.finfo(torch.float32).min
IMAGE = np.random.default_rng(0).standard_normal((1, 4, 8, 8)).astype(np.float32)


class Net(nn.Module):
    """Scores of 8 tokens of 8 values, and a function of them and of a mask."""

    def __init__(self, function: Callable[[Any, Tensor, Tensor], Any], value: float) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("mask", torch.full((8, 8), value).triu(1))

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x, x @ x.transpose(-2, -1))


def added(m: Any, x: Tensor, scores: Tensor) -> Any:
    return torch.softmax(scores + m.mask.view(1, 1, 8, 8), -1) @ x


def given(m: Any, x: Tensor, _scores: Tensor) -> Any:
    return functional.scaled_dot_product_attention(x, x, x, attn_mask=m.mask)


def computed(_m: Any, x: Tensor, scores: Tensor) -> Any:
    return torch.softmax(scores + (1 - (x[:, :1] > 0).float()) * -1e9, -1) @ x


def read_beside_the_softmax(m: Any, x: Tensor, scores: Tensor) -> Any:
    masked = scores + m.mask
    return torch.softmax(masked, -1) @ x + masked.mean()


def as_query(m: Any, x: Tensor, _scores: Tensor) -> Any:
    return functional.scaled_dot_product_attention(m.mask.expand(1, 4, 8, 8), x, x)


def high(m: Any, x: Tensor, scores: Tensor) -> Any:
    return torch.softmax(scores - m.mask, -1) @ x


def negative(_m: Any, x: Tensor, _scores: Tensor) -> Any:
    return (x - 1e6).mean() + 1e6


def warnings_of(function: Callable[[Any, Tensor, Tensor], Any], value: float) -> tuple[str, ...]:
    captured = capture_model(Net(function, value).eval(), 1, 4, 8, 8)
    runner = GraphRunner(captured.graph)
    runner.run(IMAGE)
    return warn_of_overflow(captured.graph, runner.ranges, ())


@pytest.mark.parametrize("value", [float("-inf"), LEAST, -1e9])
@pytest.mark.parametrize("function", [added, given])
def test_a_mask_is_meant(function: Callable[[Any, Tensor, Tensor], Any], value: float) -> None:
    assert warnings_of(function, value) == ()


def test_a_mask_that_is_filled_in_or_computed_is_meant() -> None:
    assert warnings_of(lambda m, x, s: torch.softmax(s.masked_fill(m.mask < 0, LEAST), -1) @ x, -1.0) == ()
    assert warnings_of(computed, 0.0) == ()


def test_scores_that_are_all_low_leave_nothing_to_weigh() -> None:
    assert "beyond that" in warnings_of(lambda m, x, s: torch.softmax(s - 1e6, -1) @ x, 0.0)[0]


@pytest.mark.parametrize("function", [read_beside_the_softmax, as_query, high, negative])
def test_a_finite_value_that_overflows_is_no_mask(function: Callable[[Any, Tensor, Tensor], Any]) -> None:
    (warning,) = warnings_of(function, -1e9)
    assert "values come beyond that" in warning


class Large(nn.Module):
    """A module whose name a warning can give."""

    def __init__(self) -> None:
        super().__init__()
        self.high = nn.Conv2d(4, 4, 1)
        nn.init.constant_(self.high.weight, 1e6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.high(x)
        return out


@pytest.mark.parametrize(
    ("can_keep", "advice"),
    [(True, "; --keep-fp32 'high' keeps them in float32"), (False, "; --precision fp32 keeps everything in float32")],
)
def test_what_the_target_does_not_take_is_not_advised(can_keep: bool, advice: str) -> None:
    captured = capture_model(Large().eval(), 1, 4, 8, 8)
    runner = GraphRunner(captured.graph)
    runner.run(IMAGE)
    (warning,) = warn_of_overflow(captured.graph, runner.ranges, (), can_keep=can_keep)
    assert warning.endswith(advice)


class LargeOutside(Large):
    """A large value that forward of the whole model computes, behind a module that could be named."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.high(x) + 1.0
        return out


def test_no_module_is_advised_where_the_model_itself_computes_a_large_value() -> None:
    captured = capture_model(LargeOutside().eval(), 1, 4, 8, 8)
    runner = GraphRunner(captured.graph)
    runner.run(IMAGE)
    (warning,) = warn_of_overflow(captured.graph, runner.ranges, ())
    assert warning.endswith("; --precision fp32 keeps everything in float32")
