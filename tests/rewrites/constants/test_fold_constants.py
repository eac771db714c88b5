from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from mobilevit_deploy.rewrites.constants import fold_constants
from mobilevit_deploy.rewrites.constants.fold_constants import FoldConstants
from tests.rewrites.conftest import Apply, Of


class Table(nn.Module):
    """A relative position bias as published window attentions look it up: 2 heads, 3x3 windows."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(25, 2))
        self.register_buffer("index", (torch.arange(9)[:, None] - torch.arange(9) + 12).abs() % 25)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        index = self.get_buffer("index")
        bias = self.table[index.view(-1)].view(9, 9, -1).permute(2, 0, 1).contiguous()
        return x + bias.unsqueeze(0)


def grid(_: Any, x: torch.Tensor) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(9), torch.arange(9), indexing="ij")
    place = torch.stack([rows, columns]).to(x.dtype) / 8
    return x + place + torch.full((1, 2, 1, 1), 0.5) * torch.ones(9, 9) - torch.zeros(9)


SPELLINGS: dict[str, tuple[nn.Module, dict[str, int]]] = {
    "table": (Table(), {"add": 1}),
    "grid": (Of(grid), {"add": 2, "sub": 1}),
    "scaled weight": (
        Of(lambda m, x: nn.functional.linear(x, m.layer.weight * 3 + 1, m.layer.bias), layer=nn.Linear(9, 4)),
        {"linear": 1},
    ),
    "parts": (
        Of(lambda m, x: [x * part for part in m.layer.weight.chunk(2)], layer=nn.Linear(9, 2)),
        {"mul": 2},
    ),
    "expanded": (
        Of(lambda m, x: x + m.layer.bias.expand(3, 2, 9, 9), layer=nn.Linear(1, 9)),
        {"add": 1},
    ),
    "number that code reads": (
        Of(lambda m, x: x * (2 * m.layer.bias.sum().item()) + m.layer.bias.amax().item(), layer=nn.Linear(1, 2)),
        {"mul": 1, "add": 1},
    ),
    "number of a type": (Of(lambda m, x: x * (x.new_full((), 0.3) + x.new_ones(1))), {"mul": 1}),
    "no pixel": (
        Of(lambda m, x: x + m.layer(x[..., :0].sum(-1, keepdim=True).expand(3, 2, 9, 9)), layer=nn.Linear(9, 9)),
        {"add": 1},
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_fires(apply: Apply, spelling: str) -> None:
    module, ops = SPELLINGS[spelling]
    result, rewritten = apply(module, FoldConstants(), 3, 2, 9, 9)
    assert result.applied
    assert result.refused == ()
    assert rewritten.graph.histogram() == ops


def test_a_table_becomes_one_weight(apply: Apply) -> None:
    result, rewritten = apply(Table(), FoldConstants(), 3, 2, 9, 9)
    assert len(result.applied) == 1
    assert {name: tuple(value.shape) for name, value in rewritten.graph.weights.items()} == {
        "table_unsqueeze": (1, 2, 9, 9)
    }


def random(_: Any, x: torch.Tensor) -> torch.Tensor:
    return x + torch.rand(9) * 0


def written(_: Any, x: torch.Tensor) -> torch.Tensor:
    mask = torch.zeros(9, 9)
    mask[3:] += 1
    return x * mask


def test_leaves_what_is_random(apply: Apply) -> None:
    assert "rand" in apply(Of(random), FoldConstants(), 3, 2, 9, 9)[1].graph.histogram()


def test_folds_what_the_model_writes_piece_by_piece(apply: Apply) -> None:
    result, rewritten = apply(Of(written), FoldConstants(), 3, 2, 9, 9)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"mul": 1}


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (
            lambda m, x: x[0, 0] + m.layer.bias.expand(20, 200, 9, 9),
            "would have 324000 elements",
        ),
        (lambda m, x: (x + 1, torch.arange(3)), "output of the graph"),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: Any, reason: str) -> None:
    result, _ = apply(Of(function, layer=nn.Linear(1, 9)), FoldConstants(), 3, 2, 9, 9)
    assert reason in result.refused[0].reason


def test_what_a_large_constant_is_made_of_is_still_folded(apply: Apply) -> None:
    module = Of(lambda m, x: x + (m.layer.bias * 2 + 1).view(1, 1, 1, 9).expand(20, 2000, 9, 9), layer=nn.Linear(1, 9))
    result, rewritten = apply(module, FoldConstants(), 20, 1, 9, 9)
    assert len(result.applied) == len(result.refused) == 1
    assert rewritten.graph.histogram() == {"expand": 1, "add": 1}


def _negated(graph: Any, node: Any) -> torch.Tensor:
    return -RIGHT(graph, node)


def _transposed(graph: Any, node: Any) -> torch.Tensor:
    return RIGHT(graph, node).mT


def _rounded(graph: Any, node: Any) -> torch.Tensor:
    return RIGHT(graph, node).float().double()


RIGHT: Callable[..., torch.Tensor] = fold_constants._compute


@pytest.mark.parametrize("wrong", [_negated, _transposed, _rounded])
def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    monkeypatch.setattr(fold_constants, "_compute", wrong)
    module = Of(lambda m, x: x + m.layer.weight * 0.3, layer=nn.Linear(9, 9))
    result, rewritten = apply(module, FoldConstants(), 3, 2, 9, 9)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram() == {"mul": 1, "add": 1}
