"""Where two computations part: every operation judged from the artifact's own inputs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mobilevit_deploy.graph.capture import capture, graph_of, recapture
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.runners.base import Array, Observed, difference
from mobilevit_deploy.verification.divergence import OWN_DIFFERENCE, Sides


class Chain(nn.Module):
    """Five operations in a row, of which the fourth takes away what the third added."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first(x))
        y = torch.exp(torch.sin(self.second(y)))
        return (y + 1000.0) - 999.0


IMAGE = np.random.default_rng(0).standard_normal((1, 3, 9, 9)).astype(np.float32)


def graph() -> Graph:
    captured = capture(Chain().eval(), torch.from_numpy(IMAGE), "features")
    with quiet_torch():
        return graph_of(recapture(captured.graph, torch.from_numpy(IMAGE)).run_decompositions({}))


def observe(graph: Graph, change: Callable[[str, Array], Array]) -> Sides:
    """Runs the graph as an artifact would, where every value may come out otherwise, and sets both sides up."""
    given: dict[Any, Tensor] = {}
    pairs: dict[Any, Observed] = {}
    for node in [node for node in graph.nodes if node.op == "call_function"]:
        values: dict[Any, Array] = {}
        graph.run(torch.from_numpy(IMAGE), lambda n, v, keep=values: keep.update({n: v.numpy()}), given)  # type: ignore[misc]
        changed = change(node.name, values[node])
        given[node] = torch.from_numpy(changed)
        pairs[node] = Observed(node.name, "op", changed)
    return Sides(graph, IMAGE, pairs, len(pairs))


def rounded(_: str, value: Array) -> Array:
    return value.astype(np.float16).astype(np.float32)


@pytest.mark.parametrize("name", ["conv2d", "relu", "conv2d_1", "sin", "exp"])
def test_the_faulty_operation_is_named_however_far_its_error_spreads(name: str) -> None:
    whole = graph()
    sides = observe(whole, lambda node, value: value * np.float32(1.001) if node == name else value)
    found = sides.find(OWN_DIFFERENCE["fp32"])
    assert found is not None
    assert (found.name, found.kind) == (name, "wrong op")
    assert found.own_difference == pytest.approx(1e-3, rel=1e-2)
    assert found.compared == len([node for node in whole.nodes if node.op == "call_function"])


def named(sides: Sides, name: str, op: str) -> Sides:
    """Returns the sides with an operation of one value that would give it its name."""
    pairs = {
        node: Observed(item.name, op if item.name == name else item.op, item.value)
        for node, item in sides.pairs.items()
    }
    return Sides(sides._graph, IMAGE, pairs, len(pairs))


def test_another_value_of_the_same_name_is_no_wrong_operation() -> None:
    """coremltools names what it makes by operation and number, as PyTorch names its nodes."""
    right = observe(graph(), lambda _, value: value)
    (place,) = [node for node in right.pairs if node.name == "conv2d_1"]
    stray = {**right.pairs, place: Observed("conv2d_1", "conv2d", right.pairs[place].value[:, ::-1].copy())}
    values = {node: item.value for node, item in right.pairs.items()}
    sides = Sides(right._graph, IMAGE, stray, len(stray))
    assert sides.find(OWN_DIFFERENCE["fp32"]) is None
    assert sides.find_other(values, 2e-5) is None
    other = {node: Observed(item.name, "op", item.value) for node, item in stray.items()}
    found = Sides(right._graph, IMAGE, other, len(stray)).find(OWN_DIFFERENCE["fp32"])
    assert found is not None
    assert found.name == "conv2d_1", "a name that only PyTorch gives"


def test_a_wrong_operation_is_felt_behind_it_whatever_its_name() -> None:
    right = observe(graph(), lambda _, value: value)
    values = {node.name: item.value for node, item in right.pairs.items()}
    wrong = observe(graph(), lambda node, value: value * np.float32(1.001) if node == "conv2d_1" else value)
    sides = named(wrong, "conv2d_1", "conv2d")
    found = sides.find(OWN_DIFFERENCE["fp32"])
    assert found is not None
    assert found.name == "conv2d_1"
    place = sides.find_other({node: values[node.name] for node in sides.pairs}, 2e-5)
    assert place is not None
    assert place.name == "conv2d_1"


@pytest.mark.parametrize("name", ["relu", "exp"])
def test_a_value_that_is_not_finite_far_from_the_end_is_a_wrong_operation(name: str) -> None:
    """Such as a weight that is NaN: an overflow has large values before it (see test_verify)."""

    def spoil(node: str, value: Array) -> Array:
        return np.where(value == value.max(), np.float32(np.nan), value) if node == name else value

    found = observe(graph(), spoil).find(OWN_DIFFERENCE["fp16"])
    assert found is not None
    assert (found.name, found.kind) == (name, "wrong op")


def test_rounding_before_a_difference_of_large_numbers() -> None:
    sides = observe(graph(), rounded)
    assert sides.find(OWN_DIFFERENCE["fp16"]) is None
    found = sides.find_cancellation()
    assert (found.op, found.kind) == ("sub", "cancellation")
    assert found.own_difference < OWN_DIFFERENCE["fp16"] < found.difference


def test_rounding_does_not_hide_a_wrong_operation() -> None:
    def both(node: str, value: Array) -> Array:
        return rounded(node, np.tanh(value) if node == "sin" else value)

    found = observe(graph(), both).find(OWN_DIFFERENCE["fp16"])
    assert found is not None
    assert (found.name, found.kind) == ("sin", "wrong op")


class Turn(nn.Module):
    """Angles of numbers whose imaginary part is a zero, of either sign."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.atan2(x.sign() * 0.0, -1 - x.abs())


@pytest.mark.parametrize(("factor", "wrong"), [(-1, False), (0.5, True)])
def test_a_zero_may_have_either_sign(factor: float, wrong: bool) -> None:
    """Half a turn one way and the other is one angle; another angle is wrong."""
    captured = capture(Turn().eval(), torch.from_numpy(IMAGE), "features")
    sides = observe(captured.graph, lambda name, value: value * np.float32(factor) if name == "atan2" else value)
    assert (sides.find(OWN_DIFFERENCE["fp32"]) is not None) == wrong


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([1.0, -4.0], [1.0, -4.0], 0.0),
        ([1.0, -4.0], [1.0, -3.0], 0.25),
        ([0.0, 0.0], [0.0, 0.5], 0.5),
        ([1.0, 2.0], [1.0, np.inf], np.inf),
        ([1.0, 2.0], [1.0, np.nan], np.inf),
        ([1.0, np.inf], [1.0, np.inf], 0.0),
        ([1.0], [1.0, 2.0], np.inf),
        ([], [], 0.0),
    ],
)
def test_difference(before: list[float], after: list[float], expected: float) -> None:
    assert difference(np.array(before, np.float32), np.array(after, np.float32)) == expected
