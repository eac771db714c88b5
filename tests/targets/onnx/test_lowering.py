"""Which calls the ONNX exporter takes: its registry, what it takes apart to that, and the forms that it refuses."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from mobilevit_deploy.graph.graph import op_name
from mobilevit_deploy.targets.onnx.lowering import registered_calls, takes
from tests.conftest import capture_model
from tests.rewrites.conftest import Of


def refused(module: nn.Module) -> list[str]:
    return [
        op_name(node) for node in capture_model(module, 1, 4, 8, 8).graph.nodes if op_name(node) and not takes(node)
    ]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(
    ("op", "module"),
    [
        ("adaptive_max_pool2d", Of(lambda m, x: F.adaptive_max_pool2d(x, 3))),
        ("adaptive_max_pool1d", Of(lambda m, x: F.adaptive_max_pool1d(x[0], 3))),
        ("scaled_dot_product_attention", Of(lambda m, x: F.scaled_dot_product_attention(x[0], x[0], x[0]))),
        ("scaled_dot_product_attention", Of(lambda m, x: F.scaled_dot_product_attention(x, x, x, x @ x.mT > 0))),
        ("lstm", Of(lambda m, x: m.layer(x[0])[0], layer=nn.LSTM(8, 6, proj_size=3).eval())),
        ("histc", Of(lambda m, x: torch.histc(x, 4))),
        ("index_put", Of(lambda m, x: torch.ops.aten.index_put(x, [None, torch.arange(4) > 1], x.mean()))),
        ("avg_pool2d", Of(lambda m, x: F.avg_pool2d(x, 3, divisor_override=4))),
        # It would be written with the running statistics.
        ("batch_norm", Of(lambda m, x: F.batch_norm(x, torch.zeros(4), torch.ones(4), training=True))),
        ("rsub", Of(lambda m, x: 1 - x)),  # it would be called sub, and the next sub, sub_1
        ("hypot", Of(lambda m, x: torch.hypot(x, x))),
    ],
)
def test_not_taken(op: str, module: nn.Module) -> None:
    assert refused(module) == [op]


@pytest.mark.parametrize(
    "module",
    [
        Of(lambda m, x: F.scaled_dot_product_attention(x, x, x)),
        Of(lambda m, x: F.celu(torch.addcmul(x, x, x))),  # its own decompositions
        Of(lambda m, x: m.layer(x[0])[0], layer=nn.LSTM(8, 3).eval()),
        Of(lambda m, x: m.layer(x).flatten(1), layer=nn.Conv2d(4, 3, 2)),
    ],
)
def test_taken(module: nn.Module) -> None:
    assert refused(module) == []


def test_the_names_tell_what_is_in_the_registry() -> None:
    found = {metas[0].fx_target for metas in ONNXRegistry.from_torchlib().functions.values()}
    assert registered_calls() == found
