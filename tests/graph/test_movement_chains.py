"""Chains of reshapes and permutations: followed up, down, and written anew."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mobilevit_deploy.graph.axis_movement import Step
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.movement_chains import chain_above, chains_below, moves, write_steps
from tests.conftest import capture_model
from tests.rewrites.conftest import Of

aten = torch.ops.aten

SPELLINGS: dict[str, Any] = {
    "transpose": lambda x: x.transpose(1, 2),
    "permute": lambda x: x.permute(2, 0, 1),
    "from the end": lambda x: x.permute(-1, 0, -2),
    "mT": lambda x: x.mT,
    "movedim": lambda x: x.movedim(0, 2),
    "several": lambda x: x.movedim((0, 1), (2, 0)),
    "swapaxes": lambda x: x.swapaxes(0, -1),
    "view": lambda x: x.view(6, 4),
    "flatten": lambda x: x.flatten(1),
    "unflatten": lambda x: x.unflatten(2, (2, 2)),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "both": lambda x: x.transpose(0, 1).reshape(2, -1, 3).mT,
}


def captured(function: Any) -> Graph:
    return capture_model(Of(lambda m, x: function(x)), 2, 3, 4).graph


def perform(x: Tensor, steps: list[Step]) -> Tensor:
    for step in steps:
        x = x.reshape(step.values) if step.kind == "reshape" else x.permute(step.values)
    return x


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_chain_does_what_the_calls_do(spelling: str) -> None:
    graph = captured(lambda x: SPELLINGS[spelling](x.relu()).exp())
    operand = next(graph.calls(aten.exp)).args[0]
    assert isinstance(operand, torch.fx.Node)
    first, steps = chain_above(operand)
    (relu,) = graph.calls(aten.relu)
    assert first is relu
    x = torch.randn(2, 3, 4)
    assert torch.equal(perform(x, steps), SPELLINGS[spelling](x))
    ((reader, read, below),) = chains_below(relu)
    assert (reader, read, below) == (next(graph.calls(aten.exp)), operand, steps)


def test_every_reader_is_found() -> None:
    graph = captured(lambda x: (lambda y: (y.exp(), y.mT.tanh(), (y.mT.flatten(1) + y.flatten(1))))(x.relu()))
    found = [(str(reader.target), len(steps)) for reader, _, steps in chains_below(next(graph.calls(aten.relu)))]
    assert sorted(found) == [
        ("aten.add.Tensor", 1),
        ("aten.add.Tensor", 2),
        ("aten.exp.default", 0),
        ("aten.tanh.default", 1),
    ]


def test_what_computes_ends_a_chain() -> None:
    graph = captured(lambda x: x.view(torch.int32).sum())
    assert not any(moves(node) for node in graph.nodes)


def test_steps_are_written_in_their_order() -> None:
    graph = captured(lambda x: x.exp())
    (node,) = graph.calls(aten.exp)
    with graph.before(node.next):
        last = write_steps(graph, node, [Step("reshape", (6, 4)), Step("permute", (1, 0))], like=node)
    assert chain_above(last) == (node, [Step("reshape", (6, 4)), Step("permute", (1, 0))])
    assert tuple(last.meta["val"].shape) == (4, 6)


def test_a_tensor_without_elements_does_not_move() -> None:
    graph = captured(lambda x: x[:, :0].transpose(1, 2).reshape(0, 5) + 1)
    assert not any(moves(node) for node in graph.nodes)
