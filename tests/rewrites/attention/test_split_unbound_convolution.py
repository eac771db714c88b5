from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mobilevit_deploy.rewrites.attention import split_unbound_convolution
from mobilevit_deploy.rewrites.attention.split_unbound_convolution import SplitUnboundConvolution
from mobilevit_deploy.rewrites.rewrite import rewrite_graph
from tests.conftest import capture_model
from tests.rewrites.conftest import Apply, Of, randomise


def indexed(m: Any, x: Tensor) -> list[Tensor]:
    kv = m.layer(x).reshape(2, 3, 2, 4, 30).permute(1, 0, 2, 4, 3)
    return [kv[0].relu(), kv[1].relu(), kv[-1].relu()]


MAPS: dict[str, Any] = {
    "unbound": lambda m, x: [t.relu() for t in m.layer(x).reshape(2, 3, 2, 4, 30).unbind(1)],
    "flattened": lambda m, x: [t.relu() for t in m.layer(x).flatten(2).reshape(2, 3, 2, 4, 30).unbind(1)],
    "transposed": lambda m, x: [t.relu() for t in m.layer(x).reshape(2, 3, 2, 4, 30).transpose(-2, -1).unbind(1)],
    "indexed": indexed,
    "interleaved": lambda m, x: [t.relu() for t in m.layer(x).reshape(2, 8, 3, 30).unbind(2)],
    "without heads": lambda m, x: [t.relu() for t in m.layer(x).reshape(2, 3, 8, 5, 6).unbind(1)],
}


def largest_rank(graph: Any) -> int:
    return max(len(node.meta["val"].shape) for node in graph.nodes if isinstance(node.meta.get("val"), Tensor))


@pytest.mark.parametrize("case", MAPS)
@pytest.mark.parametrize("bias", [True, False])
def test_fires_on_maps(apply: Apply, case: str, bias: bool) -> None:
    module = Of(MAPS[case], layer=nn.Conv2d(5, 24, 1, bias=bias))
    result, rewritten = apply(module, SplitUnboundConvolution(), 2, 5, 5, 6)
    assert len(result.applied) == 1
    ops = rewritten.graph.histogram()
    assert ops["conv2d"] == ops["relu"] == 3
    assert ops.get("reshape", 0) == (0 if case == "without heads" else 3)
    assert not {"unbind", "select"} & set(ops)
    assert largest_rank(rewritten.graph) == 4


@pytest.mark.parametrize("bias", [True, False])
def test_fires_on_tokens(apply: Apply, bias: bool) -> None:
    def attention(m: Any, x: Tensor) -> Tensor:
        q, k, v = m.layer(x.flatten(2).mT).reshape(2, 30, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        mixed: Tensor = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        return mixed

    module = Of(attention, layer=nn.Linear(5, 24, bias=bias))
    result, rewritten = apply(module, SplitUnboundConvolution(), 2, 5, 5, 6)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram()["linear"] == 3
    assert "unbind" not in rewritten.graph.histogram()
    assert largest_rank(rewritten.graph) == 4


def windows_and_map(m: Any, x: Tensor) -> list[Tensor]:
    """Queries, keys and values once for windows of 5 tokens and once for all 30, whose first part nothing reads."""
    y = m.layer(x.flatten(2).mT)
    q, k, v = y.reshape(2, 6, 5, 3, 2, 4).permute(3, 0, 1, 4, 2, 5).unbind(0)
    parts = y.reshape(2, 30, 3, 2, 4).permute(2, 0, 3, 1, 4)
    return [(q @ k.mT).softmax(-1) @ v, parts[1].relu(), parts[-1].tanh()]


@pytest.mark.parametrize("bias", [True, False])
def test_several_cuts_share_the_parts(apply: Apply, bias: bool) -> None:
    result, rewritten = apply(
        Of(windows_and_map, layer=nn.Linear(5, 24, bias=bias)), SplitUnboundConvolution(), 2, 5, 5, 6
    )
    assert len(result.applied) == 1
    assert rewritten.graph.histogram()["linear"] == 3
    assert not {"unbind", "select"} & set(rewritten.graph.histogram())


def test_other_cuts_have_parts_of_their_own(apply: Apply) -> None:
    def function(m: Any, x: Tensor) -> list[Tensor]:
        y = m.layer(x.flatten(2).mT)
        return [part.tanh() for part in (*y.reshape(2, 30, 3, 8).unbind(2), *y.reshape(2, 30, 12, 2).unbind(3))]

    result, rewritten = apply(Of(function, layer=nn.Linear(5, 24)), SplitUnboundConvolution(), 2, 5, 5, 6)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram()["linear"] == 5


def test_a_part_that_nothing_reads_is_not_computed(apply: Apply) -> None:
    module = Of(lambda m, x: m.layer(x).reshape(2, 3, 2, 4, 30)[:, 1].relu(), layer=nn.Conv2d(5, 24, 1))
    _, rewritten = apply(module, SplitUnboundConvolution(), 2, 5, 5, 6)
    assert rewritten.graph.histogram()["conv2d"] == 1
    assert rewritten.graph.weights["layer.weight_1"].shape == (8, 5, 1, 1)


REFUSES: dict[str, tuple[Any, Any, str]] = {
    "not the channels": (lambda m, x: m.layer(x).reshape(2, 24, 5, 6).unbind(2), {}, "does not divide the channels"),
    "over the border": (lambda m, x: m.layer(x).reshape(2, 4, 36, 5).unbind(1), {}, "does not divide the channels"),
    "read uncut": (lambda m, x: (lambda y: (y.relu(), *y.unbind(1)))(m.layer(x).view(2, 3, 8, 30)), {}, "uncut"),
    "layer read": (lambda m, x: (lambda y: (y.relu(), *y.view(2, 3, 8, 30).unbind(1)))(m.layer(x)), {}, "uncut"),
    "two axes": (lambda m, x: (lambda y: (y[:, 0], y[0]))(m.layer(x).view(2, 3, 8, 30)), {}, "does not divide"),
    "grouped": (lambda m, x: m.layer(x).view(2, 3, 8, 30).unbind(1), {"groups": 2}, "grouped"),
}


@pytest.mark.parametrize("case", REFUSES)
def test_refuses_with_a_reason(apply: Apply, case: str) -> None:
    function, options, reason = REFUSES[case]
    channels = 24
    module = Of(function, layer=nn.Conv2d(4, channels, 1, **options))
    result, rewritten = apply(module, SplitUnboundConvolution(), 2, 4, 5, 6)
    assert result.applied == ()
    assert reason in result.refused[0].reason
    assert rewritten.graph.histogram()["conv2d"] == 1


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 2), st.booleans(), st.integers(1, 3), st.integers(1, 3))
def test_any_order_of_axes(axes: list[int], cut: int, tokens: bool, parts: int, heads: int) -> None:
    """Whatever order the axes have and whichever of the channels' three is cut: split and proved."""
    sizes = [2, 30, parts, heads, 2] if tokens else [2, parts, heads, 2, 30]
    position = axes.index(cut + (2 if tokens else 1))

    def function(m: Any, x: Tensor) -> list[Tensor]:
        y = m.layer(x.flatten(2).mT if tokens else x)
        return [part.tanh() for part in y.reshape(sizes).permute(axes).unbind(position)]

    layer = nn.Linear(4, parts * heads * 2) if tokens else nn.Conv2d(4, parts * heads * 2, 1)
    module = Of(function, layer=layer)
    randomise(module)
    captured = capture_model(module, 2, 4, 5, 6)
    rewritten = rewrite_graph(captured.graph, [SplitUnboundConvolution()], torch.randn(2, 4, 5, 6))
    assert len(rewritten.results[0].applied) == 1
    assert largest_rank(rewritten.graph) == 4


class DropsTheBias(SplitUnboundConvolution):
    def _layer(self, graph, layer, weight, _, rows, index):  # type: ignore[no-untyped-def]
        return super()._layer(graph, layer, weight, None, rows, index)


def test_a_dropped_bias_is_caught(apply: Apply) -> None:
    result, rewritten = apply(Of(indexed, layer=nn.Conv2d(5, 24, 1)), DropsTheBias(), 2, 5, 5, 6)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["conv2d"] == 1


def test_a_wrong_axis_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    original = split_unbound_convolution._rows
    monkeypatch.setattr(
        split_unbound_convolution, "_rows", lambda chain, axis: original(chain, axis).flatten().view(-1, 3).T
    )
    result, _ = apply(Of(indexed, layer=nn.Conv2d(5, 24, 1)), SplitUnboundConvolution(), 2, 5, 5, 6)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason


def test_channels_of_one_image_without_a_batch_axis(apply: Apply) -> None:
    module = Of(lambda m, x: [t.relu() for t in m.layer(x[0]).reshape(3, 8, 5, 6).unbind(0)], layer=nn.Conv2d(5, 24, 1))
    result, rewritten = apply(module, SplitUnboundConvolution(), 1, 5, 5, 6)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram()["conv2d"] == 3


def test_refuses_a_layer_of_one_output_without_an_axis(apply: Apply) -> None:
    weight = nn.Parameter(torch.randn(5))
    module = Of(lambda m, x: nn.functional.linear(x, m.w).reshape(2, 3, 4).unbind(1))
    module.register_parameter("w", weight)
    result, _ = apply(module, SplitUnboundConvolution(), 2, 12, 5)
    assert result.applied == ()
    assert "no axis" in result.refused[0].reason
