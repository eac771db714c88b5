from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.rewrites.compatibility import raise_masks
from mobilevit_deploy.rewrites.compatibility.raise_masks import RaiseMasks
from mobilevit_deploy.rewrites.rewrite import RewriteResult, Rewritten, rewrite_graph
from tests.conftest import capture_model
from tests.rewrites.conftest import Of

LEAST = torch.finfo(torch.float32).min
MASK = torch.zeros(5, 5).masked_fill(torch.eye(5) > 0, -1e9)
Function = Callable[[Any, Tensor], Any]


def scores(x: Tensor) -> Tensor:
    return x @ x.mT


FIRES: dict[str, Function] = {
    "product": lambda m, x: ((1 - (x.mean(-1)[:, None] > 0).float()) * LEAST + scores(x)).softmax(-1) @ x,
    "fill": lambda m, x: scores(x).masked_fill(scores(x) < 0, LEAST).softmax(-1) @ x,
    "choice": lambda m, x: torch.where(scores(x) > 0, scores(x), -1e5).softmax(-1) @ x,
    "weight": lambda m, x: (scores(x) + MASK).softmax(-1) @ x,
    "mask of an attention": lambda m, x: F.scaled_dot_product_attention(x, x, x, attn_mask=MASK),
}


def raised(function: Function) -> tuple[RewriteResult, Rewritten]:
    """Rewrites alone: a thousandth of a number that weighs nothing weighs nothing, and no proof would notice it."""
    graph = capture_model(Of(function), 2, 5, 4).graph
    rewritten = rewrite_graph(graph, [RaiseMasks()], torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)))
    return rewritten.results[0], rewritten


@pytest.mark.parametrize("name", FIRES)
def test_fires(name: str) -> None:
    result, rewritten = raised(FIRES[name])
    assert len(result.applied) == 1
    assert result.refused == ()
    assert [*RaiseMasks().candidates(rewritten.graph)] == []
    in_half = rewritten.graph.copy()
    in_half.cast(torch.float32, torch.float16)
    (found,) = in_half.run(torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)).half())
    assert bool(found.isfinite().all())


LEAVES: dict[str, Function] = {
    "minus infinity": lambda m, x: scores(x).masked_fill(scores(x) < -1e9, float("-inf")).softmax(-1) @ x,
    "what half precision holds": lambda m, x: scores(x).masked_fill(scores(x) < 0, -1e4).softmax(-1) @ x,
    "a score": lambda m, x: (scores(x) * -1e5).softmax(-1) @ x,
    "what is read for itself": lambda m, x: scores(x).masked_fill(scores(x) < 0, LEAST).amax(-1),
}


@pytest.mark.parametrize("name", LEAVES)
def test_leaves_what_is_no_mask_or_low_enough(name: str) -> None:
    result, _ = raised(LEAVES[name])
    assert (result.applied, result.refused) == ((), ())


@pytest.mark.parametrize("name", FIRES)
def test_a_number_that_is_not_low_enough_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raise_masks, "RAISED", -10.0)
    result, _ = raised(FIRES[name])
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason


def test_a_query_that_may_look_at_nothing_is_left() -> None:
    """All its scores are the least number there, and weigh the same; raised, they would weigh what they are."""
    result, _ = raised(lambda m, x: (scores(x) + torch.full((5, 5), LEAST)).softmax(-1) @ x)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
