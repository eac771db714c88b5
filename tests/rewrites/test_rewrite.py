"""The proof itself: what it measures, and that a graph is left as it was where a rewrite is taken back."""

from collections.abc import Callable, Iterable
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.fx import Node

from mobilevit_deploy.architectures.operations.suppression import SUPPRESS
from mobilevit_deploy.graph.capture import recapture
from mobilevit_deploy.graph.graph import Graph, is_call, module_path, op_name
from mobilevit_deploy.rewrites import rewrite as rewrite_module
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import FoldBatchNorm
from mobilevit_deploy.rewrites.order import REWRITES
from mobilevit_deploy.rewrites.proof import PROOF_LIMIT, largest_difference
from mobilevit_deploy.rewrites.rewrite import Rewrite, TakenBack, rewrite_graph
from tests.conftest import capture_model
from tests.rewrites.conftest import Of, randomise
from tests.support.float32_op import halve_in_float32

aten = torch.ops.aten


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


AtB = Callable[[Graph, Node, Node], Node]


class _DoublesRelus(Rewrite):
    """Writes ``relu(relu(x))`` for ``relu(x)``, which is the same, and at the second of three what a test asks for."""

    name: ClassVar[str] = "doubles_relus"
    source: ClassVar[str] = "a test"

    def __init__(self, at_b: AtB = lambda graph, node, again: again) -> None:
        self.at_b = at_b

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return [node for node in graph.calls(aten.relu) if not is_call(node.args[0], aten.relu)]

    def rewrite(self, graph: Graph, node: Node) -> None:
        with graph.before(node):
            again = graph.call(aten.relu.default, node.args[0], like=node)
            if module_path(node) == "b":
                again = self.at_b(graph, node, again)
        node.args = (again,)


def raises(graph: Graph, node: Node, again: Node) -> Node:
    del graph, again
    node.args = (node.args[0].args[0],)  # type: ignore[union-attr]  # what is half done must not stay
    raise IndexError("index 4 is out of range")


def given_too_much(graph: Graph, node: Node, again: Node) -> Node:
    del graph, node
    again.args = (again.args[0], 3)
    return again


WRONG: list[tuple[AtB, str]] = [
    (raises, "IndexError: index 4 is out of range"),
    (given_too_much, "not proved: the graph does not run: "),
    (lambda graph, node, again: graph.call(aten.mul.Tensor, again, 1 + 1e-9, like=node), "not proved: differs by"),
    (
        lambda graph, node, again: graph.call(aten.slice.Tensor, again, 2, 0, 4, like=node),
        "not proved: the outputs were float64 (1, 3, 8, 8), and are float64 (1, 3, 4, 8)",
    ),
    (lambda graph, node, again: graph.call(aten.to.dtype, again, torch.float16, like=node), "not proved: "),
    (
        lambda graph, node, again: graph.graph.output_node().all_input_nodes[0],  # which comes later
        "not proved: the graph does not run: ",
    ),
]


class _CannotLook(_DoublesRelus):
    def candidates(self, graph: Graph) -> Iterable[Node]:
        yield from list(super().candidates(graph))[:1]
        raise KeyError("no such node")


def three_relus() -> nn.Module:
    names = {name: nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()) for name in "abc"}

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, (conv, relu) in names.items():
                self.add_module(f"conv_{name}", conv)
                self.add_module(name, relu)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for name in "abc":
                x = self.get_submodule(name)(self.get_submodule(f"conv_{name}")(x))
            return x

    return Net()


@pytest.mark.parametrize(("at_b", "reason"), WRONG)
def test_a_rewrite_is_taken_back_where_it_is_wrong_and_goes_on_elsewhere(at_b: AtB, reason: str) -> None:
    sample = torch.randn(1, 3, 8, 8)
    captured = capture_model(three_relus(), 1, 3, 8, 8)
    (expected,) = captured.graph.run(sample)
    rewritten = rewrite_graph(captured.graph, [_DoublesRelus(at_b), _DoublesRelus()], sample)
    wrong, right = rewritten.results
    assert wrong.applied == ("a", "c")
    (refused,) = wrong.refused
    assert isinstance(refused, TakenBack)
    assert refused.at == "b"
    assert reason in refused.reason
    assert wrong.max_rel_difference == 0
    assert right.applied == ("a", "b", "c")  # each in front of the first of the relus that are there
    assert torch.equal(rewritten.graph.run(sample)[0], expected)
    assert torch.equal(recapture(rewritten.graph, sample).module()(sample), expected)


def test_a_rewrite_that_cannot_look_costs_itself_alone() -> None:
    captured = capture_model(three_relus(), 1, 3, 8, 8)
    rewritten = rewrite_graph(captured.graph, [_CannotLook(), _DoublesRelus()], torch.randn(1, 3, 8, 8))
    assert rewritten.results[0].applied == ()
    assert rewritten.results[0].refused == (TakenBack("whole graph", "KeyError: 'no such node'"),)
    assert rewritten.results[1].applied == ("a", "b", "c")
    assert rewritten.graph.histogram() == {"relu": 6, "conv2d": 3}


@pytest.mark.parametrize("count", [3, 40])
def test_a_rewrite_that_is_wrong_everywhere_ends(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrite_module, "ATTEMPTS", 16)
    attempts = 0

    class Everywhere(_DoublesRelus):
        def candidates(self, graph: Graph) -> Iterable[Node]:
            nonlocal attempts
            attempts += 1
            return super().candidates(graph)

        def rewrite(self, graph: Graph, node: Node) -> None:
            node.args = (graph.call(aten.neg.default, node.args[0], like=node),)  # behind what reads it

    captured = capture_model(nn.Sequential(*(layer for _ in range(count) for layer in (nn.ReLU(), nn.Tanh()))), 1, 1, 2)
    result = rewrite_graph(captured.graph, [Everywhere()], torch.randn(1, 1, 2)).results[0]
    assert result.applied == ()
    assert len(result.refused) == count
    assert attempts <= 20


def test_truth_values_are_compared_too() -> None:
    assert largest_difference([torch.tensor([True, False])], [torch.tensor([True, True])])[1] == 1
    captured = capture_model(
        Of(lambda m, x: m.conv(m.norm(x)) > 0, norm=nn.BatchNorm2d(3), conv=nn.Conv2d(3, 3, 1)), 1, 3, 8, 8
    )
    rewritten = rewrite_graph(captured.graph, REWRITES, torch.randn(1, 3, 8, 8))
    assert [result.name for result in rewritten.results if result.applied] == ["fold_batch_norm"]


class _Scales(Rewrite):
    """Multiplies what goes into ``halve``, or comes out of it, by a constant."""

    name: ClassVar[str] = "scales"
    source: ClassVar[str] = "a test"

    def __init__(self, factor: float, place: str) -> None:
        self.factor = factor
        self.place = place

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return [node for node in graph.nodes if op_name(node) == "mvd_test::halve"]

    def rewrite(self, graph: Graph, node: Node) -> None:
        if self.place == "instead":
            with graph.before(node):
                graph.replace(node, graph.call(aten.mul.Tensor, node.args[0], self.factor / 2, like=node))
            return
        at = node if self.place == "before" else node.next
        with graph.before(at):
            read = node.args[0] if self.place == "before" else node
            scaled = graph.call(aten.mul.Tensor, read, self.factor, like=node)
        at.args = (scaled,)


@pytest.mark.parametrize("place", ["before", "after", "instead"])
@pytest.mark.parametrize(("factor", "proved"), [(1.0, True), (1 + 1e-3, False)])
def test_an_op_without_a_float64_kernel_costs_no_proof(place: str, factor: float, proved: bool) -> None:
    net = Of(
        lambda m, x: torch.ops.mvd_test.halve(m.conv(m.norm(x))).cos(), norm=nn.BatchNorm2d(3), conv=nn.Conv2d(3, 3, 1)
    )
    with halve_in_float32():
        graph = capture_model(net, 1, 3, 8, 8).graph
        rewritten = rewrite_graph(graph, [_Scales(factor, place), FoldBatchNorm()], torch.randn(1, 3, 8, 8))
    scaled, folded = rewritten.results
    assert bool(scaled.applied) == proved
    assert len(folded.applied) == 1
    assert rewritten.in_float32 == ("mvd_test::halve",)
    assert not any("kept" in node.meta for node in rewritten.graph.nodes)


class _Nudges(Rewrite):
    """Multiplies the scores that a suppression reads by factors that grow from place to place."""

    name: ClassVar[str] = "nudges"
    source: ClassVar[str] = "a test"

    def __init__(self, step: float) -> None:
        self.step = step

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.graph.find_nodes(op="call_function", target=SUPPRESS)

    def rewrite(self, graph: Graph, node: Node) -> None:
        boxes, scores = node.all_input_nodes
        with graph.before(node):
            factors = graph.add_weight("factors", 1 + self.step * torch.arange(4.0).double().view(1, 4, 1))
            scaled = graph.call(aten.mul.Tensor, scores, factors, like=scores)
        node.args = (boxes, scaled, *node.args[2:])


@pytest.mark.parametrize(("step", "proved"), [(1e-14, True), (1e-9, False)])
def test_a_decision_in_the_middle_is_compared_by_what_it_reads(step: float, proved: bool) -> None:
    corners = torch.tensor([[0.0, 0, 5, 5], [10, 0, 15, 5], [0, 10, 5, 15], [10, 10, 15, 15]])[None]
    net = Of(lambda m, x: m.after(SUPPRESS(m.boxes, x.reshape(1, 4, 1), [4], 4, 0.0, 0.5, 3)[0]), after=nn.Linear(4, 2))
    net.register_buffer("boxes", corners)
    image = torch.full((1, 1, 2, 2), 0.5)  # four equal scores, whose order the rewrite turns
    rewritten = rewrite_graph(capture_model(net, 1, 1, 2, 2).graph, [_Nudges(step)], image)
    assert bool(rewritten.results[0].applied) == proved
    if not proved:
        assert "differs by 3.0e-09" in rewritten.results[0].refused[0].reason
    assert not any("kept" in node.meta for node in rewritten.graph.nodes)


def test_half_precision_in_the_graph_costs_no_proof_of_what_stands_around_it() -> None:
    net = Of(
        lambda m, x: m.out(m.conv(m.norm(x)).bfloat16().tanh().float()),
        norm=nn.BatchNorm2d(3),
        conv=nn.Conv2d(3, 3, 1),
        out=nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)),
    )
    randomise(net)
    captured = capture_model(net, 1, 3, 8, 8)
    rewritten = rewrite_graph(captured.graph, REWRITES, torch.randn(1, 3, 8, 8))
    assert [len(result.applied) for result in rewritten.results if result.name == "fold_batch_norm"] == [2]
    assert not any(isinstance(refused, TakenBack) for result in rewritten.results for refused in result.refused)
