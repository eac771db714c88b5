"""Which calls ExecuTorch takes: those with a kernel, and what it takes apart to them."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils import _pytree as pytree

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.graph.graph import op_name
from mobilevit_deploy.rewrites.order import chosen_rewrites
from mobilevit_deploy.rewrites.rewrite import Rewrite, rewrite_graph
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.executorch import convert as executorch
from mobilevit_deploy.targets.executorch.lowering import takes
from mobilevit_deploy.targets.executorch.runner import ExecuTorchRunner
from tests.conftest import capture_model
from tests.rewrites.conftest import Of


def refused(module: nn.Module) -> list[str]:
    return [
        op_name(node) for node in capture_model(module, 1, 4, 8, 8).graph.nodes if op_name(node) and not takes(node)
    ]


@pytest.mark.parametrize(
    ("op", "module"),
    [
        ("adaptive_max_pool2d", Of(lambda m, x: F.adaptive_max_pool2d(x, 3))),
        ("rrelu", Of(lambda m, x: F.rrelu(x))),
        ("_linalg_svd", Of(lambda m, x: torch.ops.aten._linalg_svd(x)[1])),
        ("sort", Of(lambda m, x: x.sort(-1).values)),
        ("avg_pool3d", Of(lambda m, x: F.avg_pool3d(x, 2))),
        ("conv3d", Of(lambda m, x: F.conv3d(x[:, None], torch.ones(1, 1, 2, 2, 2)))),
        ("group_norm", Of(lambda m, x: F.group_norm(x, 2))),
        ("instance_norm", Of(lambda m, x: F.instance_norm(x))),
        ("var_mean", Of(lambda m, x: torch.var_mean(x, 1)[0])),  # there is a kernel, but it is not in Core ATen
        ("scaled_dot_product_attention", Of(lambda m, x: F.scaled_dot_product_attention(x, x, x))),
        ("pad", Of(lambda m, x: F.pad(x, [-1, 2]))),
        ("col2im", Of(lambda m, x: F.fold(x.flatten(2), 7, 2, padding=1))),
        ("polar", Of(lambda m, x: torch.polar(x, x).abs())),
    ],
)
def test_not_taken(op: str, module: nn.Module) -> None:
    assert op in refused(module)


@pytest.mark.parametrize(
    "module",
    [
        Of(lambda m, x: torch.softmax(x[0] @ x[0].mT, -1).flatten(1)),
        Of(lambda m, x: F.celu(torch.addcmul(x, x, x))),
        Of(lambda m, x: F.gelu(m.norm(m.layer(x))), layer=nn.Conv2d(4, 3, 2), norm=nn.BatchNorm2d(3)),
        Of(lambda m, x: F.layer_norm(m.layer(x), [3]), layer=nn.Linear(8, 3)),
        Of(lambda m, x: (x.max() - x.min()) * F.conv2d(x, torch.ones(1, 4, 2, 2)) + x.topk(3).values.sum()),
        Of(lambda m, x: x.abs().unsqueeze(1).expand(-1, 2, -1, -1, -1)),
    ],
)
def test_taken(module: nn.Module) -> None:
    assert refused(module.eval()) == []


def error_of(module: nn.Module, folder: Path, *rewrites: Rewrite) -> list[float]:
    """Returns how far each output is from PyTorch's in float64, over the largest value."""
    x = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0)).relu() + 3
    captured = capture(module.eval(), x, "classify")
    graph = rewrite_graph(captured.graph, rewrites, x).graph if rewrites else captured.graph
    request = ConversionRequest(
        recapture(graph, x), x, captured.input, captured.outputs, "fp32", None, {}, folder / "a.pte"
    )
    found = ExecuTorchRunner(executorch.convert(request).path).run(x.numpy())
    expected = [value.numpy() for value in pytree.tree_leaves(module(x.double()))]
    return [float(abs(a - b).max() / abs(b).max()) for a, b in zip(found, expected, strict=True)]


def test_what_is_taken_apart_is_right(tmp_path: Path) -> None:
    def model(_: nn.Module, x: torch.Tensor) -> Any:
        volume = F.conv3d(x[:, None], torch.ones(2, 1, 2, 3, 3, dtype=x.dtype))
        norms = F.instance_norm(x), F.group_norm(x, 2)
        attention = F.scaled_dot_product_attention(x - 3, x, x, torch.ones(32, 32, dtype=torch.bool).tril())
        others = F.avg_pool3d(x, (2, 1, 1), 1), x.flatten(2).sort(-1).values, volume, attention
        windows = F.fold(F.unfold(x, 3, padding=1, stride=2), 32, 3, padding=1, stride=2)
        cut = F.pad(x, [-1, 2, 0, -3], value=0.5)
        weighed = F.linear(x, torch.arange(32, dtype=x.dtype) / 32)
        return *norms, *others, F.avg_pool2d(x, 2).relu().softmax(-1), windows, cut, weighed, torch.topk(x, 3)

    errors = error_of(Of(model), tmp_path, *chosen_rewrites(catalog.recipe("executorch"), takes))
    assert len(errors) == 12
    assert max(errors[:2]) < 1e-5  # what is left are XNNPACK's means, which are 7e-7 of the largest off
    assert max(errors[2:]) < 1e-6


def test_the_faults_are_still_there(tmp_path: Path) -> None:
    """Of executorch 1.5.1: the tanh form of GELU is the exact one, statistics are summed one value after the other, and
    behind a pool a softmax over the rows is one over the channels.
    """

    def model(_: nn.Module, x: torch.Tensor) -> Any:
        rows = F.avg_pool2d(x, 2).softmax(-1)
        return F.gelu(x - 4, approximate="tanh"), F.instance_norm(x), F.group_norm(x, 2), rows

    assert min(error_of(Of(model), tmp_path)) > 1e-5
    chosen = {rewrite.name for rewrite in chosen_rewrites(catalog.recipe("executorch"), takes)}
    assert {"decompose_tanh_gelu", "flatten_softmax"} <= chosen


def test_the_recipe_has_what_takes_the_rest_apart() -> None:
    assert "decompose_unsupported" in {rewrite.name for rewrite in chosen_rewrites(catalog.recipe("executorch"), takes)}
