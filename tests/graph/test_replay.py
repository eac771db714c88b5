"""Running a graph call by call: on other strides, and of ops that know no float64."""

import pytest
import torch

from mobilevit_deploy.graph.capture import recapture
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.replay import Replay, compute, default_dtype
from mobilevit_deploy.graph.strides import on_any_strides
from tests.conftest import capture_model
from tests.rewrites.conftest import Of
from tests.support.float32_op import halve_in_float32

aten = torch.ops.aten


def in_float64(graph: Graph) -> Graph:
    copy = graph.copy()
    copy.cast(torch.float32, torch.float64)
    return copy


def test_an_op_without_a_float64_kernel_runs_in_float32_and_the_rest_in_float64() -> None:
    with halve_in_float32():
        net = Of(lambda m, x: torch.ops.mvd_test.halve(x.sin(), torch.float32).cos())
        exact, x = in_float64(capture_model(net, 1, 3, 4, 4).graph), torch.randn(1, 3, 4, 4, dtype=torch.float64)
        replay = Replay(exact.graph, exact.weights)
        (found,) = replay.outputs(x)
    assert [node.name for node in replay.in_float32] == ["halve"]
    assert torch.equal(found, (x.sin().float() / 2).double().cos())
    assert not torch.equal(found, (x.sin() / 2).cos()), "float32 shows"


def test_a_view_that_strides_forbid_is_a_reshape() -> None:
    x = torch.arange(24.0).view(2, 3, 4).mT
    found, way = compute(aten.view.default, (x, [2, 12]), {})
    assert way == "on copies"
    assert torch.equal(found, x.reshape(2, 12))
    assert compute(aten.view.default, (x.mT, [2, 12]), {})[1] == "as it stands"


def test_bits_are_read_as_float32s() -> None:
    x = torch.tensor([1.0, -2.5], dtype=torch.float64)
    bits, _ = compute(aten.view.dtype, (x, torch.int32), {})
    assert torch.equal(bits, x.float().view(torch.int32))
    back, _ = compute(aten.view.dtype, (bits, torch.float64), {})
    assert torch.equal(back, x)


def test_what_runs_in_no_way_says_what_was_wrong_first() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        compute(aten.mm.default, (torch.ones(2, 3).double(), torch.ones(2, 3).double()), {})


def test_a_write_is_never_made_into_a_copy() -> None:
    x, y = torch.zeros(3), torch.ones(4)
    with pytest.raises(RuntimeError, match="size"):
        compute(aten.add_.Tensor, (x, y), {})


def test_the_default_dtype_comes_back() -> None:
    with default_dtype(torch.float64):
        assert torch.zeros(1).dtype == torch.float64
    assert torch.zeros(1).dtype == torch.float32


def without_copies(graph: Graph) -> Graph:
    for node in graph.calls(aten.contiguous):
        graph.replace(node, node.args[0])  # type: ignore[arg-type]
    return graph


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x.transpose(1, 2).contiguous().view(1, 4, -1) * 2,
        lambda m, x: torch.view_as_real(torch.view_as_complex(x.transpose(1, 3).contiguous()[..., :2]) * 2),
    ],
)
def test_a_graph_without_its_copies_is_captured_again(function: object, capfd: pytest.CaptureFixture[str]) -> None:
    graph = capture_model(Of(function), 1, 4, 4, 4).graph  # type: ignore[arg-type]
    x = torch.randn(1, 4, 4, 4)
    (expected,) = graph.run(x)
    edited = without_copies(graph.copy())
    assert torch.equal(edited.run(x)[0], expected)
    assert torch.equal(recapture(edited, x).module()(x), expected)
    assert capfd.readouterr() == ("", "")
    assert not list(on_any_strides(edited, x).calls(aten.contiguous))
