from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mobilevit_deploy.graph.graph import Graph, arguments, shape
from mobilevit_deploy.rewrites.compatibility.flatten_softmax import SOFTMAX, FlattenSoftmax
from mobilevit_deploy.rewrites.proof import PROOF_LIMIT
from tests.rewrites.conftest import Apply, Of, apply_to

Function = Callable[[Any, Tensor], Tensor]
FIRES: dict[str, Function] = {
    "convolution": lambda m, x: m.c(x).softmax(-1),
    "elementwise between": lambda m, x: (m.c(x).relu() * 2 + x).softmax(3),
    "pool": lambda m, x: F.max_pool2d(x, 2).softmax(-1),
    "resize": lambda m, x: F.interpolate(x, scale_factor=2, mode="bilinear").softmax(-1),
    "a dtype": lambda m, x: m.c(x).softmax(-1, dtype=x.dtype),
}
OTHERS: dict[str, Function] = {
    "over the channels": lambda m, x: m.c(x).softmax(1),
    "rank 3": lambda m, x: m.c(x).flatten(2).softmax(-1),
    "behind a product": lambda m, x: (m.c(x) @ x.mT).softmax(-1),
    "behind a reshape": lambda m, x: m.c(x).reshape(2, 4, 2, 12).softmax(-1),
}


def net(function: Function) -> Of:
    return Of(function, c=nn.Conv2d(4, 4, 1))


@settings(max_examples=10)
@given(case=st.sampled_from([*FIRES]), height=st.integers(2, 6), width=st.integers(2, 6))
def test_fires(case: str, height: int, width: int) -> None:
    result, rewritten = apply_to(net(FIRES[case]), FlattenSoftmax(), 2, 4, height, width)
    assert len(result.applied) == 1
    assert result.max_rel_difference is not None
    assert result.max_rel_difference <= PROOF_LIMIT
    assert [len(shape(arguments(node)["self"])) for node in rewritten.graph.calls(*SOFTMAX)] == [3]


@pytest.mark.parametrize("case", OTHERS)
def test_others_are_no_candidates(apply: Apply, case: str) -> None:
    result, _ = apply(net(OTHERS[case]), FlattenSoftmax(), 2, 4, 6, 4)
    assert (result.applied, result.refused) == ((), ())


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the channels, as XNNPACK takes it."""
    call = Graph.call

    def wrong(graph: Graph, op: Any, *args: Any, **more: Any) -> Any:
        return (
            call(graph, op, args[0], 1, *args[2:], **more)
            if op.overloadpacket in SOFTMAX
            else call(graph, op, *args, **more)
        )

    monkeypatch.setattr(Graph, "call", wrong)
    result, _ = apply(net(FIRES["convolution"]), FlattenSoftmax(), 2, 4, 6, 5)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason


def test_a_softmax_written_by_a_decomposition(apply: Apply) -> None:
    module = net(lambda m, x: torch.ops.aten._softmax(m.c(x), -1, False))
    result, _ = apply(module, FlattenSoftmax(), 2, 4, 6, 4)
    assert len(result.applied) == 1
