"""What is proposed in place of an operation: the one is refused, the other is not, and both compute the same."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._higher_order_ops import associative_scan, map, scan, while_loop  # noqa: F401 - the table calls these
from torch.nn.attention import flex_attention  # noqa: F401 - likewise

from mobilevit_deploy.errors import CaptureError
from mobilevit_deploy.graph.alternatives import Alternative, alternatives, alternatives_of, nearest
from tests.conftest import capture_model
from tests.rewrites.conftest import Of

SHAPE = (1, 3, 8, 8)


def evaluate(expression: str, x: Tensor) -> Any:
    return eval(expression, {"torch": torch, "F": F, "x": x})  # noqa: S307 - the table's own


def image() -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("item", alternatives(), ids=lambda item: item.ops[0])
def test_the_table_is_true(item: Alternative) -> None:
    with pytest.raises(CaptureError, match="|".join(item.ops)) as caught:
        capture_model(Of(lambda m, x: evaluate(item.before, x)), *SHAPE)
    assert str(caught.value.hint).startswith(f"{item.write}, or ")
    capture_model(Of(lambda m, x: evaluate(item.after, x)), *SHAPE)
    before, after = evaluate(item.before, image()), evaluate(item.after, image())
    assert torch.allclose(before, after, rtol=1e-5) if item.same else before.shape != after.shape


def test_every_op_is_there_once() -> None:
    ops = [op for item in alternatives() for op in item.ops]
    assert len(set(ops)) == len(ops)
    assert alternatives_of("conv2d") == []


def test_two_ways_are_named_of_many() -> None:
    assert nearest(["one", "two", "three"]) == "one, or two"
