from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mobilevit_deploy.graph.graph import Graph, op_name, shape
from mobilevit_deploy.rewrites.layout.drop_batch_axis import DropBatchAxis
from mobilevit_deploy.rewrites.layout.merge_movements import MergeMovements
from mobilevit_deploy.rewrites.rewrite import rewrite_graph
from tests.conftest import capture_model
from tests.rewrites.conftest import Apply, Of, randomise


class Token(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1, 2, 6))


def mlp(m: Any, x: Tensor) -> Tensor:
    tokens = torch.cat([m.token.value, x], dim=1)
    y = tokens + m.out(nn.functional.gelu(m.fc(m.norm(tokens)), approximate="tanh"))
    gate = m.out(m.fc(y.mean(dim=1, keepdim=True))).sigmoid()
    return torch.add(y[:, 2:] * gate, y[:, -1:], alpha=2) / 3


def net(function: Any) -> Of:
    return Of(function, norm=nn.LayerNorm(6), fc=nn.Linear(6, 8), out=nn.Linear(8, 6), token=Token())


def axes(graph: Graph) -> set[int]:
    return {len(shape(node)) for node in graph.nodes if op_name(node) not in ("", "reshape")}


def test_fires(apply: Apply) -> None:
    module = net(mlp)
    result, rewritten = apply(module, DropBatchAxis(), 1, 5, 6)
    assert len(result.applied) == 15
    assert axes(rewritten.graph) == {2}


def test_two_reshapes_are_left() -> None:
    module = net(mlp)
    randomise(module)
    graph = capture_model(module, 1, 5, 6).graph
    rewritten = rewrite_graph(graph, [DropBatchAxis(), MergeMovements()], torch.randn(1, 5, 6))
    assert rewritten.graph.histogram()["reshape"] == 3  # of the image, of the learnt token, and of the output
    assert [result.refused for result in rewritten.results] == [(), ()]


@pytest.mark.parametrize(
    ("function", "batch"),
    [
        (lambda m, x: m.out(m.fc(m.norm(x)).relu()) + x, 2),
        (lambda m, x: x.relu() + 1, 1),
        (lambda m, x: m.fc(x[0]), 1),
        (lambda m, x: m.fc(x[:, None]), 1),
    ],
)
def test_leaves_batches_other_ranks_and_what_has_no_layer(apply: Apply, function: Any, batch: int) -> None:
    result, rewritten = apply(net(function), DropBatchAxis(), batch, 5, 6)
    assert not result.applied
    assert not result.refused
    assert "reshape" not in rewritten.graph.histogram()


OPS: dict[str, Any] = {
    "relu": lambda y, x: y.relu(),
    "norm over tokens too": lambda y, x: nn.functional.layer_norm(y, y.shape[1:]),
    "softmax": lambda y, x: y.softmax(1),
    "join tokens": lambda y, x: torch.cat([y, x, y], dim=1)[:, 2:7],
    "join batches": lambda y, x: torch.cat([y, x], dim=0)[1:],
    "join channels": lambda y, x: torch.cat([x, y], dim=-1)[..., 3:9],
    "mean of channels": lambda y, x: y - x.mean(dim=-1, keepdim=True),
    "mean of images": lambda y, x: y - x.mean(dim=0, keepdim=True),
    "mean of all": lambda y, x: y - x.mean(),
    "two axes": lambda y, x: y * x[0] + x[0, 0],
    "number first": lambda y, x: 2 - y,
    "steps": lambda y, x: torch.cat([y[:, ::2], y[:, 1::2]], dim=1),
    "rows and columns": lambda y, x: y * x[:, :1] + x[..., :1],
}


@given(st.lists(st.sampled_from(sorted(OPS)), min_size=1, max_size=5))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_ops_are_proved(apply: Apply, names: list[str]) -> None:
    def function(m: Any, x: Tensor) -> Tensor:
        y: Tensor = m.out(m.fc(x))
        for name in names:
            y = OPS[name](y, x)
        result: Tensor = m.fc(y)
        return result

    result, _ = apply(net(function), DropBatchAxis(), 1, 5, 6)
    assert len(result.applied) >= 3
    assert result.refused == ()


class AveragesChannels(DropBatchAxis):
    def rewrite(self, graph, node):  # type: ignore[no-untyped-def]
        super().rewrite(graph, node)
        for mean in graph.calls(torch.ops.aten.mean):
            mean.args = (mean.args[0], [1], *mean.args[2:])


def test_a_wrong_axis_is_caught(apply: Apply) -> None:
    module = net(lambda m, x: m.fc(x.mean(dim=1, keepdim=True)))
    result, rewritten = apply(module, AveragesChannels(), 1, 6, 6)
    assert result.applied == ("fc",)  # alone it is right
    assert [refused.at for refused in result.refused] == ["mean"]
    assert "not proved" in result.refused[0].reason
    (mean,) = rewritten.graph.calls(torch.ops.aten.mean)
    assert shape(mean) == (1, 1, 6)
