from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mobilevit_deploy.rewrites.attention import fold_scale
from mobilevit_deploy.rewrites.attention.fold_scale import FoldScale
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import layer_weights, scale_outputs
from mobilevit_deploy.rewrites.rewrite import rewrite_graph
from tests.conftest import capture_model
from tests.rewrites.conftest import Apply, Of, randomise

CONV = nn.Conv2d(4, 12, 1)


class LayerScale(nn.Module):
    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(sizes))

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = self.gamma * x
        return scaled


def heads(m: Any, x: Tensor) -> Any:
    return m.conv(x).reshape(2, 3, 2, 2, 30).transpose(-2, -1)  # (B, 3, heads, N, d)


def scaled_query(m: Any, x: Tensor) -> Tensor:
    q, k, v = heads(m, x).unbind(1)
    mixed: Tensor = (q * 2**-0.5 @ k.mT).softmax(-1) @ v
    return mixed


def scaled_product(m: Any, x: Tensor) -> Tensor:
    q, k, v = heads(m, x).unbind(1)
    mixed: Tensor = (q @ k.mT * 2**-0.5).softmax(-1) @ v
    return mixed


def indexed(m: Any, x: Tensor) -> Tensor:
    parts = heads(m, x).permute(1, 0, 2, 3, 4)
    mixed: Tensor = (parts[0] @ parts[1].transpose(-2, -1) / 2).softmax(-1) @ parts[2]
    return mixed


def tokens(m: Any, x: Tensor) -> Tensor:
    q, k, v = m.linear(x.flatten(2).mT).chunk(3, dim=-1)
    mixed: Tensor = (0.5 * q @ k.mT).softmax(-1) @ v
    return mixed


def query_of_two(m: Any, x: Tensor) -> list[Tensor]:
    """Queries scaled twice, for halves of the map and for all of it."""
    q, k, v = heads(m, x).unbind(1)
    halves = 0.5 * q.reshape(2, 2, 2, 15, 2)
    return [halves @ k.reshape(2, 2, 2, 15, 2).mT, (0.5 * q @ k.mT).softmax(-1) @ v]


FIRES: dict[str, nn.Module] = {
    "behind a convolution": Of(lambda m, x: torch.tanh(0.3 * m.conv(x)), conv=CONV),
    "divided": Of(lambda m, x: m.conv(x) / 3, conv=nn.Conv2d(4, 4, 3, padding=1, bias=False)),
    "behind a transposed one": Of(lambda m, x: m.conv(x) * 3, conv=nn.ConvTranspose2d(4, 6, 2, 2, groups=2)),
    "behind a linear layer": Of(lambda m, x: m.linear(x) * 3, linear=nn.Linear(6, 3)),
    "per channel": Of(lambda m, x: x + m.scale(m.conv(x)), conv=nn.Conv2d(4, 4, 1), scale=LayerScale(1, 4, 1, 1)),
    "per channel, three axes": Of(lambda m, x: m.scale(m.conv(x)), conv=nn.Conv2d(4, 4, 1), scale=LayerScale(4, 1, 1)),
    "per feature": Of(lambda m, x: m.scale(m.linear(x)), linear=nn.Linear(6, 3), scale=LayerScale(3)),
    "learnt number": Of(lambda m, x: m.scale(m.conv(x).flatten(2)), conv=CONV, scale=LayerScale(1)),
    "query": Of(scaled_query, conv=CONV),
    "product": Of(scaled_product, conv=CONV),
    "indexed": Of(indexed, conv=CONV),
    "query of two": Of(query_of_two, conv=CONV),
    "all positions, in parts": Of(lambda m, x: (lambda y: (y[:, :, :2] * 2, y[:, :, 2:] * 2))(m.conv(x)), conv=CONV),
    "tokens": Of(tokens, linear=nn.Linear(4, 12)),
    "depthwise, cut": Of(
        lambda m, x: [part * 2 if i == 1 else part for i, part in enumerate(m.conv(x).chunk(3, dim=1))],
        conv=nn.Conv2d(4, 12, 3, padding=1, groups=4),
    ),
}


@pytest.mark.parametrize("case", FIRES)
def test_fires(apply: Apply, case: str) -> None:
    result, rewritten = apply(FIRES[case], FoldScale(), 2, 4, 5, 6)
    assert len(result.applied) == 1
    assert not {"mul", "div"} & set(rewritten.graph.histogram())


def whole_and_part(m: Any, x: Tensor) -> Any:
    y = m.conv(x)
    return y[:, :6] * 2, y[:, 4:]


REFUSES = {
    "read unscaled": (lambda m, x: (lambda y: y * 2 + y)(m.conv(x)), "read unscaled"),
    "read through a view": (lambda m, x: (lambda y: (y.flatten(2) * 2, y.relu()))(m.conv(x)), "read unscaled"),
    "overlapping parts": (whole_and_part, "read unscaled"),
    "half a position": (lambda m, x: (lambda y: (y[:, :, :2] * 2, y[:, :, 2:]))(m.conv(x)), "read unscaled"),
    "some rows with it": (lambda m, x: (lambda y: (y * 2, (y[:, :6] / 0.5).relu()))(m.conv(x)), "read unscaled"),
    "product read": (lambda m, x: (lambda y: (y * 2, y.relu()))(m.conv(x) @ x.mean(1, True).mT), "product of matrices"),
    "within a channel": (lambda m, x: m.map(m.conv(x)), "differs within a channel"),
    "per channel, behind a view": (lambda m, x: m.column(m.conv(x).flatten(2)), "no layer directly before"),
    "wider": (lambda m, x: m.wide(m.conv(x)), "changes the shape"),
}


@pytest.mark.parametrize("case", REFUSES)
def test_refuses_with_a_reason(apply: Apply, case: str) -> None:
    function, reason = REFUSES[case]
    modules = {"map": LayerScale(5, 6), "wide": LayerScale(2, 2, 1, 1, 1), "column": LayerScale(12, 1)}
    result, rewritten = apply(Of(function, conv=CONV, **modules), FoldScale(), 2, 4, 5, 6)
    assert result.applied == ()
    assert reason in result.refused[0].reason
    assert rewritten.graph.histogram()["mul"] == 1


def test_another_factor_is_another_value(apply: Apply) -> None:
    module = Of(lambda m, x: (lambda y: (y.flatten(2) * 2, y.flatten(2) * 3))(m.conv(x)), conv=CONV)
    result, rewritten = apply(module, FoldScale(), 2, 4, 5, 6)
    assert result.applied == ()
    assert {refused.reason for refused in result.refused} == {"the layer's output is read unscaled too"}
    assert rewritten.graph.histogram()["mul"] == 2


def test_a_twin_that_stays_scaled_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    original = fold_scale._scale_somewhere
    monkeypatch.setattr(fold_scale, "_scale_somewhere", lambda *given: original(*given)[:0])
    result, rewritten = apply(FIRES["query of two"], FoldScale(), 2, 4, 5, 6)
    assert result.applied == ()
    assert "not proved" in result.refused[-1].reason
    assert rewritten.graph.histogram()["mul"] == 2


def test_a_product_with_itself_is_left_alone(apply: Apply) -> None:
    module = Of(lambda m, x: (lambda q: q @ q * 2)(m.conv(x)), conv=nn.Conv2d(4, 4, 1))
    result, rewritten = apply(module, FoldScale(), 2, 4, 5, 5)
    assert result.applied == ()
    assert rewritten.graph.histogram()["mul"] == 1


def test_the_gram_matrix_is_left_alone(apply: Apply) -> None:
    module = Of(lambda m, x: (lambda q: q @ q.mT * 2)(m.conv(x)), conv=nn.Conv2d(4, 4, 1))
    result, _ = apply(module, FoldScale(), 2, 4, 5, 5)
    assert result.applied == ()
    assert "read unscaled" in result.refused[0].reason


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 2), st.floats(0.1, 10), st.booleans())
def test_any_part(axes: list[int], part: int, factor: float, divide: bool) -> None:
    """Whatever order the axes have and whichever part is scaled: folded and proved."""

    def function(m: Any, x: Tensor) -> list[Tensor]:
        parts = list(m.conv(x).reshape(2, 3, 2, 2, 30).permute(axes).unbind(axes.index(1)))
        parts[part] = parts[part] / factor if divide else parts[part] * factor
        return parts

    module = Of(function, conv=nn.Conv2d(4, 12, 1))
    randomise(module)
    rewritten = rewrite_graph(capture_model(module, 2, 4, 5, 6).graph, [FoldScale()], torch.randn(2, 4, 5, 6))
    assert len(rewritten.results[0].applied) == 1


def without_bias(graph: Any, layer: Any, scale: Any) -> None:
    weight, bias = layer_weights(graph, layer)
    graph.set_weights(layer, weight * scale.view(-1, *[1] * (weight.ndim - 1)), bias)


def slightly_off(graph: Any, layer: Any, scale: Any) -> None:
    ORIGINAL(graph, layer, scale * (1 + 1e-9))


def other_rows(graph: Any, layer: Any, scale: Any) -> None:
    ORIGINAL(graph, layer, scale.roll(5))


ORIGINAL = scale_outputs


@pytest.mark.parametrize("wrong", [without_bias, slightly_off, other_rows])
@pytest.mark.parametrize("case", ["query", "depthwise, cut"])
def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch, wrong: Any, case: str) -> None:
    monkeypatch.setattr(fold_scale, "scale_outputs", wrong)
    result, rewritten = apply(FIRES[case], FoldScale(), 2, 4, 5, 6)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["mul"] == 1
