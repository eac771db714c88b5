"""Which calls coremltools takes: its registry, and the forms that it refuses, held to its converter."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.export.export import ParityFailedError, export_model
from mobilevit_deploy.graph.graph import op_name
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.rewrites.order import chosen_rewrites
from mobilevit_deploy.targets.coreml.lowering import takes
from tests.conftest import capture_model
from tests.rewrites.conftest import Of
from tests.targets.coreml.conversion import LIMIT, Function, error_of


def write_channels(x: torch.Tensor) -> torch.Tensor:
    x[:, [2, 0]] = x[:, :2] * 2
    return x


REFUSED: dict[str, Function] = {
    "addcmul": lambda x: torch.addcmul(x, x, x),
    "celu": F.celu,
    "fft_fft": lambda x: torch.fft.fft(x).real,
    "col2im": lambda x: F.fold(F.unfold(x, 3, padding=1), (8, 9), 3, padding=1),
    "cosine_similarity": lambda x: F.cosine_similarity(x, x.flip(2)),
    "einsum": lambda x: torch.einsum("...ij,...kj->...ik", x, x),
    "linear": lambda x: F.linear(x, torch.arange(9) / 9),
    "affine_grid_generator": lambda x: F.grid_sample(
        x, F.affine_grid(x[:, :3, :2, 0].reshape(1, 2, 3), [1, 4, 5, 6], False), align_corners=False
    ),
    "max_pool2d_with_indices": lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "constant_pad_nd": lambda x: torch.constant_pad_nd(x, [-1, 2], 0.5),
    "pad": lambda x: F.pad(F.pad(x, (1, 2, 0, 1), mode="circular"), (-2, 1)),
    "unfold": lambda x: x.unfold(2, 3, 2),
    "batch_norm": lambda x: F.batch_norm(x, torch.zeros(4), torch.ones(4), training=True),
    "mean": lambda x: x + (x.permute(0, 2, 3, 1) * 2).relu().mean(),
    "hypot": lambda x: torch.hypot(x, x + 1),
    "asinh": torch.asinh,
    "clamp_min": lambda x: x.clamp_min(0),
    "clamp_max": lambda x: x.clamp_max(1),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 2, 1, True, divisor_override=4),
    "acosh": lambda x: torch.acosh(1 + x.abs()),
    "where": lambda x: torch.where(x > 0, 1, x),
    "index_put": lambda x: write_channels(x.clone()),
    "scaled_dot_product_attention": lambda x: F.scaled_dot_product_attention(x, x[:, :2], x[:, 2:], enable_gqa=True),
}


@pytest.mark.parametrize("op", REFUSED)
def test_what_is_not_taken_is_refused_and_converts_when_it_is_taken_apart(op: str, tmp_path: Path) -> None:
    nodes = capture_model(Of(lambda m, x: REFUSED[op](x)), 1, 4, 8, 9).graph.nodes
    assert op in {op_name(node) for node in nodes if op_name(node) and not takes(node)}
    with pytest.raises(ConversionError):
        error_of(REFUSED[op], tmp_path, rewrite=False)
    assert error_of(REFUSED[op], tmp_path, rewrite=True) < LIMIT


def test_zeros_of_another_type_are_not_of_the_first_one(tmp_path: Path) -> None:
    def attend(x: torch.Tensor) -> torch.Tensor:
        return x + torch.zeros_like(x > 0, dtype=x.dtype).masked_fill(x > 0, -3.0)

    assert error_of(attend, tmp_path, rewrite=False) > 0.1
    assert error_of(attend, tmp_path, rewrite=True) < LIMIT


def test_what_models_of_the_catalog_call_is_taken() -> None:
    def model(_: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = F.silu(F.conv2d(x, torch.ones(4, 4, 3, 3), padding=1)).add_(x[:, :, 1:, 1:].mean((0, 1, 2, 3)))
        return F.linear(F.gelu(y.flatten(2)).transpose(1, 2), torch.ones(3, 4)).softmax(-1)

    captured = capture_model(Of(model), 1, 4, 8, 8)
    assert [op_name(node) for node in captured.graph.nodes if op_name(node) and not takes(node)] == []


def test_the_recipe_has_what_takes_the_rest_apart() -> None:
    assert "decompose_unsupported" in {rewrite.name for rewrite in chosen_rewrites(catalog.recipe("coreml"), takes)}


def test_a_floor_division_by_1_keeps_its_rounding_in_half_precision(tmp_path: Path) -> None:
    code = tmp_path / "floored.py"
    code.write_text(
        "def floored():\n    from tests.rewrites.conftest import Of\n    return Of(lambda m, x: (x * 3) // 1)\n"
    )
    request = ExportRequest(ModelRequest(f"{code}:floored", size=(8, 9)), ("coreml",), folder=tmp_path / "out")
    (report,) = export_model(request)
    assert report.parity.status == "passed"
    with pytest.raises(ParityFailedError):
        export_model(replace(request, rewrite=False))


def test_an_assertion_of_the_converter_is_told_with_its_operation(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"AssertionError \(from clamp_min, line \d+ of "):
        error_of(lambda x: x.relu().clamp_min(0).sigmoid(), tmp_path, rewrite=False)
