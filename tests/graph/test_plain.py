"""What torch.export leaves in a graph beside plain calls: regions, writes, assertions, random numbers."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from mobilevit_deploy.errors import CaptureError
from mobilevit_deploy.graph.capture import graph_of, recapture
from mobilevit_deploy.graph.functional import StillRead, remove_writes
from mobilevit_deploy.graph.graph import Graph, module_path, writes
from mobilevit_deploy.graph.quiet import quiet_torch

aten = torch.ops.aten


class Net(nn.Module):
    """One convolution, a flag and a state, and a function of them."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)
        self.register_buffer("flag", torch.tensor(True))
        self.register_buffer("state", torch.ones(3, 1, 1))

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def captured(function: Callable[[Any, Tensor], Any]) -> Graph:
    """Captures a function; checks that the graph writes to nothing and computes the same, captured again too."""
    torch.manual_seed(0)
    module, x = Net(function).eval(), torch.randn(1, 3, 8, 8)
    with torch.no_grad(), quiet_torch():
        graph = graph_of(torch.export.export(module, (x.clone(),), strict=False))
        expected = pytree.tree_leaves(copy.deepcopy(module)(x.clone()))
    assert not any(writes(node) for node in graph.nodes)
    for found in (graph.run(x), pytree.tree_leaves(recapture(graph, x).module()(x))):
        for before, after in zip(expected, found, strict=True):
            torch.testing.assert_close(after, before)
    return graph


def no_gradients(m: Any, x: Tensor) -> Tensor:
    y: Tensor = m.conv(x)
    with torch.enable_grad():
        z: Tensor = m.conv(y).detach()
    return y + z


def autocast_off(m: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        y: Tensor = m.conv(x.float())
    return y


def autocast_elsewhere(m: Any, x: Tensor) -> Tensor:
    with torch.autocast("cuda", dtype=torch.float16):
        y: Tensor = m.conv(x)
    return y


def checkpointed(m: Any, x: Tensor) -> Any:
    with torch.enable_grad():
        return checkpoint(m.conv, x, use_reentrant=False)


def nested(m: Any, x: Tensor) -> Any:
    with torch.autocast("cpu", enabled=False), torch.enable_grad():
        return m.conv(x)


@pytest.mark.parametrize("function", [no_gradients, autocast_off, autocast_elsewhere, checkpointed, nested])
def test_a_region_is_written_into_the_graph_with_its_module_paths(function: Any) -> None:
    graph = captured(function)
    assert {module_path(node) for node in graph.calls(aten.conv2d)} == {"conv"}


@pytest.mark.parametrize(
    ("condition", "ops"),
    [
        (lambda m, x: m.flag, {"conv2d": 1}),
        (lambda m, x: m.state.sum() > 4, {"mul": 1}),
        (lambda m, x: x.shape[2] > 4, {"conv2d": 1}),
        (lambda m, x: x.mean() > 100, {"mean": 1, "gt": 1, "conv2d": 1, "mul": 1, "where": 1}),
        (lambda m, x: x.mean() > -100, {"mean": 1, "gt": 1, "conv2d": 1, "mul": 1, "where": 1}),
    ],
)
def test_a_condition_chooses_a_side(condition: Any, ops: dict[str, int]) -> None:
    def function(m: Any, x: Tensor) -> Any:
        return torch.cond(condition(m, x), lambda y: m.conv(y), lambda y: y * 2, (x,))

    assert captured(function).histogram() == ops


def test_a_condition_within_a_condition() -> None:
    def function(m: Any, x: Tensor) -> Any:
        def inner(y: Tensor) -> Any:
            return torch.cond(m.flag, lambda z: z + 1, lambda z: z - 1, (y,))

        return torch.cond(x.mean() > 0, lambda y: inner(y).sin(), lambda y: y.cos(), (x,))

    assert captured(function).histogram() == {"mean": 1, "gt": 1, "add": 1, "sin": 1, "cos": 1, "where": 1}


def test_a_condition_on_what_the_model_writes_to_is_no_constant() -> None:
    def function(m: Any, x: Tensor) -> Any:
        m.state.mul_(-1)
        return torch.cond(m.state.sum() > 0, lambda y: y + 1, lambda y: y - 1, (x,))

    graph = captured(function)
    assert graph.histogram()["where"] == 1
    assert graph.unkept == ("state",)


def test_assertions_and_numbers_that_nothing_reads_go() -> None:
    def function(m: Any, x: Tensor) -> Any:
        torch._assert_async(torch.isfinite(x).all())
        torch.ops.aten._assert_tensor_metadata(x, dtype=torch.float32)
        torch.rand(3)
        return m.conv(x)

    assert captured(function).histogram() == {"conv2d": 1}


def residual(m: Any, x: Tensor) -> Any:
    y = m.norm(m.conv(x))
    y += x
    return y.relu_().mul_(2)


def overwritten(m: Any, x: Tensor) -> Any:
    y = m.conv(x)
    y.copy_(x[:, :1])
    z = torch.zeros(1, 3, 8, 8).fill_(3)
    return y + z.add_(1.0), m.conv(x).zero_()


def of_another_type(_: Any, x: Tensor) -> Any:
    y = torch.zeros(1, 3, 8, 8, dtype=torch.float16)
    return y.copy_(x).float(), y.masked_fill_(x > 0, 1.0).float()


@pytest.mark.parametrize(
    ("function", "ops"),
    [
        (residual, {"conv2d": 1, "batch_norm": 1, "add": 1, "relu": 1, "mul": 1}),
        (lambda m, x: m.conv(x.mul_(2)) + x, {"mul": 1, "conv2d": 1, "add": 1}),
    ],
)
def test_a_write_becomes_the_call_without_underscore(function: Any, ops: dict[str, int]) -> None:
    graph = captured(function)
    assert graph.histogram() == ops
    assert graph.unkept == ()


@pytest.mark.parametrize("function", [overwritten, of_another_type])
def test_what_is_written_keeps_its_shape_and_type(function: Any) -> None:
    assert not {"copy", "fill", "zero"} & set(captured(function).histogram())


def test_state_is_read_anew_and_not_kept() -> None:
    def function(m: Any, x: Tensor) -> Any:
        before = m.state * x
        m.state.add_(x.mean((0, 2, 3)).view(3, 1, 1))
        return before, m.state * x

    graph = captured(function)
    assert graph.unkept == ("state",)
    first = graph.run(torch.ones(1, 3, 8, 8))
    assert torch.equal(first[1], graph.run(torch.ones(1, 3, 8, 8))[1])


def slices(m: Any, x: Tensor) -> Any:
    y = m.norm(x)
    y[:, 0] = 0
    y[:, ::2, 1:5, 3] += 2
    return y


def through_a_view(m: Any, x: Tensor) -> Any:
    y = m.norm(x)
    y.view(-1)[3:7] = 1
    y.transpose(2, 3).relu_()
    return y


def read_before(m: Any, x: Tensor) -> Any:
    y = m.norm(x)
    part = y[:, 1]
    y.mul_(2)
    return part


def by_index(m: Any, x: Tensor) -> Any:
    y = m.norm(x)
    y[:, torch.tensor([0, 2])] = 1.0
    y[y > 0] = 3.0
    return y


def output_of_a_dropout(m: Any, x: Tensor) -> Any:
    y = m.norm(x)
    z = nn.functional.dropout(y, training=False)  # in evaluation, y itself
    z.mul_(2)
    return y


@pytest.mark.parametrize("function", [slices, through_a_view, read_before, by_index, output_of_a_dropout])
def test_a_write_into_memory_that_is_read_elsewhere(function: Any) -> None:
    graph = captured(function)
    assert {module_path(node) for node in graph.calls(aten.batch_norm)} == {"norm"}
    assert not {"copy", "fill", "zero"} & set(graph.histogram())


def test_a_write_that_is_read_elsewhere_is_no_call_alone() -> None:
    """Without the look at memory, the output would be what it was before the write."""
    module, x = Net(read_before).eval(), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        exported = torch.export.export(module, (x,), strict=False).module()
    assert isinstance(exported, torch.fx.GraphModule)
    with pytest.raises(StillRead):
        remove_writes(Graph.from_module(exported))


def test_a_loop_that_no_target_takes_is_named() -> None:
    def function(m: Any, x: Tensor) -> Any:
        return torch._higher_order_ops.map(m.conv, x)

    with pytest.raises(CaptureError, match=r"torch\.export leaves a call of map_impl in the graph") as caught:
        captured(function)
    assert "torch.vmap" in str(caught.value.hint)
