from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mobilevit_deploy.graph.graph import Graph, arguments
from mobilevit_deploy.rewrites.attention import drop_key_bias
from mobilevit_deploy.rewrites.attention.drop_key_bias import DropKeyBias
from tests.rewrites.conftest import Apply, Of


def split(x: Tensor) -> Tensor:
    return x.reshape(*x.shape[:2], 2, 3).transpose(1, 2)  # (B, heads, N, d)


def attention(m: Any, x: Tensor) -> Tensor:
    q, k, v = (split(layer(x)) for layer in (m.q, m.k, m.v))
    mixed: Tensor = (q @ k.mT).softmax(-1) @ v
    return mixed


def masked(m: Any, x: Tensor) -> Tensor:
    q, k, v = (split(layer(x)) for layer in (m.q, m.k, m.v))
    mask = x[:, None, :, :1] - x[:, None, None, :, 0]
    mixed: Tensor = ((q @ k.mT) * 0.5 + mask).softmax(-1) @ v
    return mixed


def of_maps(m: Any, x: Tensor) -> Tensor:
    image = x.mT.reshape(2, 6, 5, 1)
    q, k, v = m.q(x), m.conv(image).flatten(2), m.v(x)
    mixed: Tensor = (q @ k).softmax(-1) @ v
    return mixed


def twice(m: Any, x: Tensor) -> Tensor:
    k = m.k(x)
    mixed: Tensor = (m.q(x) @ k.mT).softmax(-1) @ x + (m.v(x) @ k.mT / 3).softmax(-1) @ x
    return mixed


def net(function: Any) -> Of:
    linears = {name: nn.Linear(6, 6) for name in "qkv"}
    return Of(function, conv=nn.Conv2d(6, 6, 1), **linears)


FIRES: dict[str, Any] = {"attention": attention, "masked": masked, "of maps": of_maps, "twice": twice}


def biases(graph: Graph) -> list[str]:
    layers = [node for node in graph.nodes if node.op == "call_function" and "weight" in arguments_of(node)]
    return sorted(str(arguments(node)["weight"].target) for node in layers if arguments(node)["bias"] is not None)


def arguments_of(node: Any) -> dict[str, Any]:
    return arguments(node) if hasattr(node.target, "_schema") else {}


@pytest.mark.parametrize("case", FIRES)
def test_fires(apply: Apply, case: str) -> None:
    result, rewritten = apply(net(FIRES[case]), DropKeyBias(), 2, 5, 6)
    assert len(result.applied) == 1
    assert biases(rewritten.graph) == ["q.weight", "v.weight"]
    assert not {"k.bias", "conv.bias"} & set(rewritten.graph.weights)


@given(st.permutations(range(4)), st.floats(0.1, 3), st.booleans())
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_arrangement_is_proved(apply: Apply, axes: list[int], scale: float, shifted: bool) -> None:
    """However the keys' axes are arranged, what is dropped is proved, and nothing is dropped with channels as keys."""

    def function(m: Any, x: Tensor) -> Tensor:
        k = m.k(x).reshape(2, 6, 2, 3).permute(axes)
        q = m.q(x).reshape(2, 6, 2, 3).permute([*axes[:2], axes[3], axes[2]])
        scores = scale * (q @ k)
        weights: Tensor = (scores + scores.shape[-1] if shifted else scores).softmax(-1)
        return weights

    result, _ = apply(net(function), DropKeyBias(), 2, 6, 6)
    assert not any("not proved" in refused.reason for refused in result.refused)
    assert bool(result.applied) == (axes[-1] < 2)


REFUSES: dict[str, tuple[Any, str]] = {
    "values too": (lambda m, x: (lambda k: (x @ k.mT).softmax(-1) @ k)(m.k(x)), "read by more than scores"),
    "queries too": (lambda m, x: (lambda k: (k @ k.mT).softmax(-1) @ x)(m.k(x)), "read by more than scores"),
    "channels": (lambda m, x: (x.mT @ m.k(x)).softmax(-1), "the channels are not what"),
}


@pytest.mark.parametrize("case", list(REFUSES))
def test_refuses_with_a_reason(apply: Apply, case: str) -> None:
    function, reason = REFUSES[case]
    result, _ = apply(net(function), DropKeyBias(), 2, 5, 6)
    assert result.applied == ()
    assert reason in result.refused[0].reason


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: (m.q(x) @ m.k(x).mT).softmax(-2) @ x,
        lambda m, x: (m.q(x) @ m.k(x).mT).sigmoid() @ x,
        lambda m, x: (m.q(x) @ m.k(x).mT).square().softmax(-1) @ x,
        lambda m, x: (lambda s: (s * x[..., :5]).softmax(-1) @ x)(m.q(x) @ m.k(x).mT),
        lambda m, x: (lambda s: s.softmax(-1) @ x + s @ x)(m.q(x) @ m.k(x).mT),
        lambda m, x: ((m.q(x) @ m.k(x).mT)[..., :1] + x[..., :5]).softmax(-1) @ x,
    ],
)
def test_leaves_what_is_no_softmax_over_keys(apply: Apply, function: Any) -> None:
    result, rewritten = apply(net(function), DropKeyBias(), 2, 5, 6)
    assert not result.applied
    assert not result.refused
    assert biases(rewritten.graph) == ["k.weight", "q.weight"]


def test_a_bias_of_other_layers_is_missed(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that takes any operand for keys drops the others' biases too, and is taken back there."""
    monkeypatch.setattr(drop_key_bias, "_is_key", lambda reader, read: reader.target.name() == "aten::matmul")
    monkeypatch.setattr(drop_key_bias, "_keys_are_tokens", lambda layer, steps: True)
    result, rewritten = apply(net(attention), DropKeyBias(), 2, 5, 6)
    assert result.applied == ("k",)
    assert [refused.at for refused in result.refused if "not proved" in refused.reason] == ["q", "v"]
    assert biases(rewritten.graph) == ["q.weight", "v.weight"]
