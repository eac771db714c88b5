from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.rewrites.compatibility.replace_masked_rows import ReplaceMaskedRows
from mobilevit_deploy.rewrites.constants.fold_constants import FoldConstants
from mobilevit_deploy.rewrites.rewrite import rewrite_graph
from tests.conftest import capture_model
from tests.rewrites.conftest import Apply, Of


class Masked(nn.Module):
    """Attention of (2, 3, 4, 5) with a mask of some shape, of numbers."""

    def __init__(self, *shape: int, rows: tuple[int, ...] = (1,)) -> None:
        super().__init__()
        mask = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
        mask[..., 2] = float("-inf")
        for row in rows:
            mask[..., row, :] = float("-inf")
        self.mask = mask  # no buffer, of which tests make random numbers

    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x * 2, x + 1, attn_mask=self.mask, scale=0.3)


@pytest.mark.parametrize("module", [Masked(4, 4), Masked(3, 4, 4, rows=(0, 3)), Masked(2, 1, 4, 4, rows=(0, 1, 3))])
def test_fires(apply: Apply, module: nn.Module) -> None:
    result, rewritten = apply(module, ReplaceMaskedRows(), 2, 3, 4, 5)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram()["scaled_dot_product_attention"] == 1
    masks = [mask for name, mask in rewritten.graph.weights.items() if name.endswith("looking")]
    assert not (masks[0] == float("-inf")).all(-1).any()


def test_a_mask_that_is_computed_of_weights_is_one_when_it_is_folded() -> None:
    def attend(m: Any, x: Tensor) -> Tensor:
        seen = m.layer.weight > 1e9  # none
        return F.scaled_dot_product_attention(x, x, x, torch.zeros(4, 4).masked_fill(seen.logical_not(), float("-inf")))

    x = torch.randn(2, 3, 4, 5)
    graph = capture_model(Of(attend, layer=nn.Linear(4, 4)), *x.shape).graph
    result = rewrite_graph(graph, [FoldConstants(), ReplaceMaskedRows()], x).results[-1]
    assert len(result.applied) == 1


@pytest.mark.parametrize("mask", [None, torch.zeros(4, 4), torch.zeros(4, 4, dtype=torch.bool)])
def test_leaves_what_has_no_such_row(apply: Apply, mask: Tensor | None) -> None:
    result, _ = apply(Of(lambda m, x: F.scaled_dot_product_attention(x, x, x, mask)), ReplaceMaskedRows(), 2, 3, 4, 5)
    assert (result.applied, result.refused) == ((), ())


def test_a_row_that_is_not_quite_one_is_caught(apply: Apply, spoil_weight: Callable[[str], None]) -> None:
    spoil_weight("mask_rows")
    result, _ = apply(Masked(4, 4), ReplaceMaskedRows(), 2, 3, 4, 5)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
