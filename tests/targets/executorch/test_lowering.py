"""Which calls ExecuTorch takes: those with a kernel, and what it takes apart to them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.graph.graph import op_name
from mobilevit_deploy.rewrites.order import chosen_rewrites
from mobilevit_deploy.targets.executorch.lowering import takes
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
        ("polar", Of(lambda m, x: torch.polar(x, x).abs())),
    ],
)
def test_not_taken(op: str, module: nn.Module) -> None:
    assert op in refused(module)


@pytest.mark.parametrize(
    "module",
    [
        Of(lambda m, x: F.scaled_dot_product_attention(x[0], x[0], x[0]).flatten(1)),
        Of(lambda m, x: F.celu(torch.addcmul(x, x, x))),
        Of(lambda m, x: F.gelu(m.norm(m.layer(x))), layer=nn.Conv2d(4, 3, 2), norm=nn.BatchNorm2d(3)),
        Of(lambda m, x: F.layer_norm(m.layer(x), [3]), layer=nn.Linear(8, 3)),
        Of(lambda m, x: F.group_norm(x, 2).unsqueeze(1).expand(-1, 2, -1, -1, -1)),
    ],
)
def test_taken(module: nn.Module) -> None:
    assert refused(module.eval()) == []


def test_the_recipe_has_what_takes_the_rest_apart() -> None:
    assert "decompose_unsupported" in {rewrite.name for rewrite in chosen_rewrites(catalog.recipe("executorch"), takes)}
