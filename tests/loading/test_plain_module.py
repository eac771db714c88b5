"""What code returns beside a plain module of tensors: wrappers, and outputs that no graph has."""

import copy
from collections import namedtuple
from dataclasses import dataclass
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.capture import capture
from mobilevit_deploy.loading.plain_module import TensorOutputs, give_shapes, to_evaluation, unwrap

IMAGE = torch.randn(1, 3, 8, 8)


@dataclass
class Detections:
    boxes: Tensor
    loss: Tensor | None = None
    count: int = 3


Pair = namedtuple("Pair", ["near", "far"])


class Returning(nn.Module):
    """Returns what ``make`` makes of a convolution's output."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 2, 3)
        self.make = make

    def forward(self, x: Tensor, scale: float = 2.0) -> Any:
        return self.make(self.stem(x) * scale)


@pytest.mark.parametrize(
    ("make", "names", "left_out"),
    [
        (
            lambda y: (y, None, {"aux": None, "n": 3}),
            ["output"],
            ["output 1, which is None", "output 2.aux", "output 2.n"],
        ),
        (lambda y: Detections(y), ["boxes"], ["loss, which is None", "count, which is int"]),
        (lambda y: {"heads": [Detections(y), Detections(y + 1)]}, ["heads_boxes", "heads_boxes_1"], ["heads[0].loss"]),
        (lambda y: Pair(y, "text"), ["near"], ["far, which is str"]),
        (lambda y: Pair(y, y * 2), ["near", "far"], []),
        (lambda y: {"a": {"b": y, "c": (y, True)}}, ["a_b", "a_c"], ["a.c[1], which is bool"]),
        (lambda y: [y, y], ["output0", "output1"], []),
        (lambda y: y, ["output"], []),
    ],
)
def test_outputs_keep_their_names(make: Any, names: list[str], left_out: list[str]) -> None:
    module = Returning(make).eval()
    hook = TensorOutputs.of(module)
    captured = capture(module, IMAGE, "classify")
    assert [output.name for output in captured.outputs] == names
    for expected in left_out:
        assert any(text.startswith(expected) for text in hook.left_out), hook.left_out
    assert bool(hook.left_out) == bool(left_out)
    tensors = [leaf for leaf in pytree.tree_leaves(module(IMAGE)) if isinstance(leaf, Tensor)]
    for found, tensor in zip(captured.graph.run(IMAGE), tensors, strict=True):
        assert torch.allclose(found, tensor, atol=1e-6)


def test_a_copy_computes_with_its_own_weights() -> None:
    module = Returning(lambda y: (y, None)).eval()
    TensorOutputs.of(module)
    wide = copy.deepcopy(module).double()
    assert wide(IMAGE.double())[0].dtype == torch.float64


VALUES = st.recursive(
    st.sampled_from(["tensor", None, 3, 2.5, "text", True]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_no_tensor_is_lost_and_nothing_else_is_kept(value: Any) -> None:
    tensors: list[Tensor] = []

    def fill(item: Any) -> Any:
        if item == "tensor":
            tensors.append(torch.full((1,), float(len(tensors))))
            return tensors[-1]
        return item

    outputs = pytree.tree_map(fill, value)
    kept = TensorOutputs()(nn.Identity(), (), outputs)
    found = pytree.tree_leaves(outputs if kept is None else kept)
    if tensors:
        assert [float(leaf) for leaf in found] == [float(tensor) for tensor in tensors]


@pytest.mark.filterwarnings("ignore")  # PyTorch's own, of what torch.compile imports
def test_wrappers_are_taken_off_and_names_stay() -> None:
    inner = nn.Sequential(nn.Conv2d(3, 2, 3), nn.DataParallel(nn.Sequential(nn.BatchNorm2d(2))))
    expected = {name.replace(".module.", ".") for name in inner.state_dict()}
    plain = unwrap(nn.DataParallel(cast(nn.Module, torch.compile(inner))))
    assert plain is inner
    assert set(plain.state_dict()) == expected
    compiled = nn.Sequential(nn.Conv2d(3, 2, 3))
    compiled.compile()
    assert unwrap(compiled)._compiled_call_impl is None


@pytest.mark.filterwarnings("ignore")
def test_a_torchscript_module_is_left_as_it_is() -> None:
    module = torch.jit.script(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).eval())
    assert unwrap(module) is module
    assert TensorOutputs.of(module).left_out == ()
    assert next(unwrap(nn.Sequential(module)).children()) is module


def test_lazy_layers_get_their_shapes() -> None:
    module = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2)).eval()
    give_shapes(module, (1, 3, 8, 8))
    assert [tuple(value.shape) for value in module.parameters()] == [(4, 3, 3, 3), (4,), (2, 144), (2,)]
    plain = Returning(lambda x: 1 / 0).eval()
    give_shapes(plain, (1, 3, 8, 8))  # which is not run


def test_a_captured_program_stays_in_the_mode_that_it_was_captured_in() -> None:
    program = torch.export.export(nn.Sequential(nn.Conv2d(3, 2, 1), nn.Dropout()).eval(), (IMAGE,)).module()
    assert to_evaluation(program) is program
    assert torch.equal(program(IMAGE), program(IMAGE))
    layer = nn.Dropout()
    assert not to_evaluation(layer).training
