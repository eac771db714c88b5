"""Which calls Core AI's converter takes: its own table, asked once; what it does not take converts when taken apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.graph.graph import op_name
from mobilevit_deploy.rewrites.order import chosen_rewrites
from mobilevit_deploy.rewrites.rewrite import rewrite_graph
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.coreai import child as coreai_child
from mobilevit_deploy.targets.coreai import convert as coreai
from mobilevit_deploy.targets.coreai import lowering
from mobilevit_deploy.targets.coreai.lowering import takes
from mobilevit_deploy.targets.coreai.runner import CoreAIRunner
from tests.conftest import capture_model
from tests.rewrites.conftest import Of

LACKING: dict[str, Callable[[torch.Tensor], Any]] = {
    "sort": lambda x: x.sort(-1).values,
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, 3),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, (3, 5)),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "scaled_dot_product_attention": lambda x: F.scaled_dot_product_attention(x, x, x, x @ x.mT > 3),
    "median": lambda x: x.median(-1).values,
    "hypot": lambda x: torch.hypot(x, x + 1),
    "index_put": lambda x: torch.ops.aten.index_put(x, [None, torch.tensor([2, 0])], x[:, :2] * 2),
}


def lacking(x: torch.Tensor) -> Any:
    return tuple(function(x) for function in LACKING.values())


def convert(folder: Path, *, rewrite: bool) -> tuple[Path, torch.Tensor]:
    x = torch.randn(1, 4, 8, 9, generator=torch.Generator().manual_seed(0))
    captured = capture(Of(lambda m, x: lacking(x)), x, "classify")
    graph = captured.graph
    if rewrite:
        graph = rewrite_graph(graph, chosen_rewrites(catalog.recipe("coreai"), takes), x).graph
    path = folder / "ops.aimodel"
    specs = (captured.input, captured.outputs)
    return coreai.convert(ConversionRequest(recapture(graph, x), x, *specs, "fp32", None, {}, path)).path, x


def test_what_is_not_taken_converts_when_it_is_taken_apart(tmp_path: Path) -> None:
    nodes = capture_model(Of(lambda m, x: lacking(x)), 1, 4, 8, 9).graph.nodes
    assert LACKING.keys() <= {op_name(node) for node in nodes if op_name(node) and not takes(node)}
    path, x = convert(tmp_path, rewrite=True)
    for found, expected in zip(CoreAIRunner(path).run(x.numpy()), lacking(x), strict=True):
        assert abs(found - expected.numpy()).max() < 1e-5 * abs(expected).max()


def test_without_that_it_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as caught:
        convert(tmp_path, rewrite=False)
    assert "leave --no-rewrite out" in str(caught.value.hint)


def test_what_models_of_the_catalog_call_is_taken() -> None:
    def model(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = F.silu(F.conv2d(x, torch.ones(4, 4, 3, 3), padding=1)).add_(x[:, :, 1:, 1:].mean())
        y = F.max_pool2d(F.hardswish(F.batch_norm(y, torch.zeros(4), torch.ones(4))), 2)
        return F.linear(F.gelu(y.flatten(2)).transpose(1, 2), torch.ones(3, 4)).softmax(-1)

    captured = capture_model(Of(model), 1, 4, 8, 8)
    assert [op_name(node) for node in captured.graph.nodes if op_name(node) and not takes(node)] == []


def test_the_table_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    ask = coreai_child.Child.ask

    def noted(child: coreai_child.Child, command: str, **request: Any) -> dict[str, Any]:
        asked.append(command)
        return ask(child, command, **request)

    monkeypatch.setattr(coreai_child.Child, "ask", noted)
    lowering._known.cache_clear()
    nodes = capture_model(Of(lambda m, x: x.exp() + 1), 1, 4, 8, 8).graph.nodes
    assert all(takes(node) for node in nodes if op_name(node))
    assert asked == ["lowerings"]
