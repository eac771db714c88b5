"""What a rewrite that is wrong costs the user: a warning, and nothing else."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.fx import Node

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.graph.capture import capture
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline import rewriting
from mobilevit_deploy.pipeline.plan import TargetRequest, plan_target
from mobilevit_deploy.pipeline.prepare import (
    Prepared,
    prepare,
    ready_for_target,
)
from mobilevit_deploy.pipeline.rewriting import rewrite_captured
from mobilevit_deploy.rewrites.layout.remove_identities import RemoveIdentities
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import FoldBatchNorm
from mobilevit_deploy.rewrites.rewrite import Rewrite
from tests.conftest import RESEARCH
from tests.rewrites.conftest import Of
from tests.support.float32_op import halve_in_float32

RECIPE = catalog.recipe("onnx")


class Broken(FoldBatchNorm):
    def rewrite(self, graph: Graph, node: Node) -> None:
        del graph, node
        raise IndexError("index 4 is out of range")


@pytest.fixture
def prepared() -> Prepared:
    tiny = prepare(load_model(ModelRequest(f"{RESEARCH / 'tiny_net.py'}:build", size=(16, 16))))
    layers = (layer for _ in range(3) for layer in (nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)))
    return replace(tiny, captured=capture(nn.Sequential(*layers).eval(), tiny.example, "features"))


def use(monkeypatch: pytest.MonkeyPatch, rewrites: Sequence[Rewrite]) -> None:
    monkeypatch.setattr(rewriting, "chosen_rewrites", lambda recipe, takes: rewrites)


def test_a_rewrite_that_raises_costs_a_warning(monkeypatch: pytest.MonkeyPatch, prepared: Prepared) -> None:
    use(monkeypatch, [Broken(), FoldBatchNorm()])
    rewritten, (warning,) = rewrite_captured(RECIPE, prepared.captured.graph, prepared.example)
    assert [len(result.applied) for result in rewritten.results] == [0, 3]
    assert rewritten.graph.histogram() == {"conv2d": 3}
    assert warning.startswith("fold_batch_norm was taken back at 1 and 2 places more: IndexError: index 4 is out of")
    assert "please report" in warning


def test_nothing_is_said_where_all_is_well(monkeypatch: pytest.MonkeyPatch, prepared: Prepared) -> None:
    use(monkeypatch, [RemoveIdentities(), FoldBatchNorm()])
    assert rewrite_captured(RECIPE, prepared.captured.graph, prepared.example)[1] == ()


def test_an_op_without_a_float64_kernel_is_named(monkeypatch: pytest.MonkeyPatch, prepared: Prepared) -> None:
    use(monkeypatch, [FoldBatchNorm()])
    with halve_in_float32():
        net = Of(lambda m, x: torch.ops.mvd_test.halve(x))
        captured = capture(net, prepared.example, "features")
        (warning,) = rewrite_captured(RECIPE, captured.graph, prepared.example)[1]
    assert warning.startswith("mvd_test::halve: without a float64 kernel")


def test_state_that_the_model_writes_is_named(prepared: Prepared) -> None:
    def count(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        m.get_buffer("seen").add_(1)
        return x + 1

    net = Of(count)
    net.register_buffer("seen", torch.zeros(1))
    changed = replace(prepared, captured=capture(net, prepared.example, "features"))
    for rewrite in (True, False):
        plan = plan_target(TargetRequest("onnx", rewrite=rewrite))
        assert any("writes to its state (seen)" in warning for warning in ready_for_target(plan, changed).warnings)
        assert not ready_for_target(plan, prepared).warnings
