"""Which calls LiteRT's converter takes, what is done with the others, and that its faults are still there."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils import _pytree as pytree

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import ArtifactError, ConversionError
from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.graph.graph import op_name
from mobilevit_deploy.rewrites.order import chosen_rewrites
from mobilevit_deploy.rewrites.rewrite import Rewrite, rewrite_graph
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.litert import convert as litert
from mobilevit_deploy.targets.litert.lowering import takes
from mobilevit_deploy.targets.litert.runner import LiteRTRunner
from tests.conftest import capture_model
from tests.rewrites.conftest import Of

pytestmark = pytest.mark.usefixtures("litert")


def refused(module: nn.Module) -> list[str]:
    return [
        op_name(node) for node in capture_model(module, 1, 4, 8, 8).graph.nodes if op_name(node) and not takes(node)
    ]


NOT_TAKEN: dict[str, nn.Module] = {
    "adaptive_max_pool2d": Of(lambda m, x: F.adaptive_max_pool2d(x, 3)),
    "batch_norm": Of(lambda m, x: F.batch_norm(x, torch.zeros(4), torch.ones(4), training=True)),
    "rrelu": Of(lambda m, x: F.rrelu(x)),
    "_linalg_svd": Of(lambda m, x: torch.ops.aten._linalg_svd(x)[1]),
    "sort": Of(lambda m, x: x.sort(-1).values),
    "col2im": Of(lambda m, x: F.fold(F.unfold(x, 3, padding=1), x.shape[2:], 3, padding=1)),
    "index_put": Of(lambda m, x: torch.ops.aten.index_put(x, [None, torch.tensor([1, 3, 1])], x[:, :3], True)),
    "topk": Of(lambda m, x: x.topk(2, largest=False).values),
    "upsample_nearest2d": Of(lambda m, x: F.interpolate(x, (12, 4), mode="nearest")),
    "conv_transpose2d": Of(lambda m, x: m.layer(x), layer=nn.ConvTranspose2d(4, 6, 3, 2, 1, 1)),
    "_upsample_bicubic2d_aa": Of(lambda m, x: F.interpolate(x, (5, 5), mode="bicubic", antialias=True)),
    "linear": Of(
        lambda m, x: m.layer(m.conv(x).mean((2, 3), keepdim=True).permute(0, 2, 3, 1)),
        conv=nn.Conv2d(4, 4, 1),
        layer=nn.Linear(4, 3),
    ),
    "lstm": Of(lambda m, x: m.layer(x[0])[0], layer=nn.LSTM(8, 3, batch_first=True)),
    "polar": Of(lambda m, x: torch.polar(x, x).abs()),
}
TAKEN: list[nn.Module] = [
    Of(lambda m, x: torch.softmax(x[0] @ x[0].mT, -1).flatten(1)),
    Of(lambda m, x: F.gelu(m.norm(m.layer(x)), approximate="tanh"), layer=nn.Conv2d(4, 3, 2), norm=nn.BatchNorm2d(3)),
    Of(lambda m, x: F.layer_norm(m.layer(x), [3]), layer=nn.Linear(8, 3)),
    Of(lambda m, x: x.topk(3).values + F.scaled_dot_product_attention(x, x, x).sum()),
    Of(lambda m, x: F.interpolate(x, scale_factor=2, mode="nearest")),
    Of(lambda m, x: m.layer(x), layer=nn.ConvTranspose2d(4, 6, 4, 2, 1)),
    Of(lambda m, x: m.layer(x), layer=nn.ConvTranspose2d(4, 6, 3, 2, groups=2)),
]


@pytest.mark.parametrize("op", NOT_TAKEN)
def test_not_taken(op: str) -> None:
    assert op in refused(NOT_TAKEN[op].eval())


@pytest.mark.parametrize("module", TAKEN)
def test_taken(module: nn.Module) -> None:
    assert refused(module.eval()) == []


def errors_of(module: nn.Module, folder: Path, *rewrites: Rewrite) -> list[float]:
    """Returns how far each output is from PyTorch's, over the largest value, with XNNPACK and without."""
    x = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    captured = capture(module.eval(), x, "classify")
    graph = rewrite_graph(captured.graph, rewrites, x).graph if rewrites else captured.graph
    path = folder / "a.tflite"
    litert.convert(ConversionRequest(recapture(graph, x), x, captured.input, captured.outputs, "fp32", None, {}, path))
    with torch.no_grad():
        expected = [value.numpy() for value in pytree.tree_leaves(module(x))]
    found = [LiteRTRunner(path, delegate=delegate).run(x.numpy()) for delegate in (True, False)]
    pairs = [pair for outputs in found for pair in zip(outputs, expected, strict=True)]
    return [float(abs(a - b).max() / max(abs(b).max(), 1e-9)) for a, b in pairs]


def test_what_is_taken_apart_is_right(tmp_path: Path) -> None:
    layers: dict[str, nn.Module] = {"wide": nn.ConvTranspose2d(4, 6, 3, 2, 1, 1), "linear": nn.Linear(4, 3)}
    layers["grouped"] = nn.ConvTranspose2d(4, 6, 3, 2, 1, groups=2)
    layers["apart"] = nn.ConvTranspose2d(4, 6, 4, 3, 2, dilation=2)

    def model(m: nn.Module, x: torch.Tensor) -> Any:
        sorted_values = x.sort(-1).values, x.topk(2, largest=False).values, x.topk(2).values
        resized = [F.interpolate(x, size, mode="nearest") for size in ((8, 8), (24, 20), (32, 32))]
        smooth = F.interpolate(x, (9, 7), mode="bilinear", align_corners=True)
        norms = F.group_norm(x, 2), F.instance_norm(x), F.adaptive_max_pool2d(x, 3), NOT_TAKEN["batch_norm"](x)
        columns = [m.linear(x.mean(axes, True).permute(0, 2, 3, 1)) for axes in (3, (2, 3))]  # type: ignore[operator]
        added = [NOT_TAKEN[name](x) for name in ("col2im", "index_put")]
        deconvolutions = [m.get_submodule(name)(x) for name in ("wide", "grouped", "apart")]
        return *sorted_values, *resized, smooth, *norms, *columns, *added, *deconvolutions

    errors = errors_of(Of(model, **layers), tmp_path, *chosen_rewrites(catalog.recipe("litert"), takes))
    assert len(errors) == 2 * 18
    assert max(errors) < 1e-6


SHIFTED = nn.Sequential(nn.Conv2d(4, 8, 1), Of(lambda m, x: F.glu(x, 1) + x.tensor_split(4, 1)[0].repeat(1, 2, 1, 1)))


def test_what_its_layout_pass_mistakes_is_converted_without_that_pass(tmp_path: Path) -> None:
    assert max(errors_of(SHIFTED, tmp_path)) < 1e-6


def test_the_faults_are_still_there(tmp_path: Path) -> None:
    """Of litert-torch 0.10 and LiteRT 2.3: without the rewrites these are wrong, or refused."""
    nearest = Of(lambda m, x: F.interpolate(x, (8, 8), mode="nearest"))
    assert min(errors_of(nearest, tmp_path)) > 0.1
    with pytest.raises(ArtifactError, match="STABLEHLO_SORT"):
        errors_of(NOT_TAKEN["sort"], tmp_path)
    for name in ("col2im", "index_put"):
        with pytest.raises(ArtifactError, match=r"Only update, Add, .* are currently supported for stablehlo\.scatter"):
            errors_of(NOT_TAKEN[name], tmp_path)
    with pytest.raises(ConversionError, match="failed to legalize"):
        errors_of(NOT_TAKEN["conv_transpose2d"], tmp_path)
    with pytest.raises(ConversionError, match="invalid output rank"):
        errors_of(NOT_TAKEN["linear"], tmp_path)
