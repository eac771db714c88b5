"""Weights kept in parts: put together they are what evaluation computes with."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, remove_spectral_norm, remove_weight_norm, spectral_norm
from torch.nn.utils import weight_norm as old_weight_norm

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading import parametrizations as folding
from mobilevit_deploy.loading.parametrizations import fold_parametrizations

Layer = Callable[[], nn.Module]
LAYERS: dict[str, Layer] = {
    "conv": lambda: nn.Conv2d(3, 4, 3),
    "transposed": lambda: nn.ConvTranspose2d(3, 4, 3),
    "linear": lambda: nn.Linear(5, 1),
    "grouped": lambda: nn.Conv2d(4, 8, 3, groups=4),
}


def trained(module: nn.Module) -> nn.Module:
    """Runs the power iteration of a spectral norm, and moves the weights off what they began with."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        shape = (1, 5) if isinstance(module, nn.Linear) else (1, int(module.in_channels), 6, 6)  # type: ignore[arg-type]
        for _ in range(3):
            module.train()(torch.randn(shape))
    return module.eval()


WAYS: dict[str, tuple[Callable[[nn.Module], nn.Module], Callable[[nn.Module], nn.Module]]] = {
    "weight norm, old": (old_weight_norm, remove_weight_norm),
    "spectral norm, old": (spectral_norm, remove_spectral_norm),
    "weight norm": (
        parametrizations.weight_norm,
        lambda module: parametrize.remove_parametrizations(module, "weight"),
    ),
    "spectral norm": (
        parametrizations.spectral_norm,
        lambda module: parametrize.remove_parametrizations(module, "weight"),
    ),
    "weight norm along an axis": (
        lambda module: parametrizations.weight_norm(module, dim=1),
        lambda module: parametrize.remove_parametrizations(module, "weight"),
    ),
}


def case(way: str, layer: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns a layer's state dict in parts, and as PyTorch itself puts it together."""
    apply, remove = WAYS[way]
    module = trained(apply(LAYERS[layer]()))
    parts = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    return parts, remove(copy.deepcopy(module)).state_dict()


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("way", WAYS)
def test_parts_are_put_together(way: str, layer: str) -> None:
    parts, whole = case(way, layer)
    assert set(parts) != set(whole)
    found, notes = fold_parametrizations({f"a.{name}": part for name, part in parts.items()}, ["a.weight", "a.bias"])
    assert set(found) == {"a.weight", "a.bias"}
    assert torch.allclose(found["a.weight"], whole["weight"], rtol=1e-5, atol=1e-7)  # float32, a sum of a few products
    assert notes == (f"{way.split(',')[0].removesuffix(' along an axis')} folded into 1 tensors",)


def test_a_wrong_axis_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "_weight_norm", lambda g, v: g * v / v.norm())
    parts, whole = case("weight norm", "conv")
    found, _ = fold_parametrizations(parts, ["weight", "bias"])
    assert not torch.allclose(found["weight"], whole["weight"], rtol=1e-2)


def test_parts_that_show_terabytes_are_refused() -> None:
    """A view of one value, which putting together would make."""
    shape = (2**14, 2**14, 2**12)
    parts = {"a.weight_g": torch.ones(2**14, 1, 1), "a.weight_v": torch.ones(1).expand(shape)}
    with pytest.raises(CheckpointError, match=r"show 4,398,046,576,640 bytes and hold 65,540"):
        fold_parametrizations(parts, ["a.weight"])


def test_a_model_that_has_parts_gets_them() -> None:
    parts, _ = case("weight norm", "conv")
    assert fold_parametrizations(parts, list(parts)) == (parts, ())


def test_plain_names_that_end_alike_are_left_alone() -> None:
    tensors = {"a.weight_v": torch.ones(1), "b.weight_g": torch.ones(1), "c_orig": torch.ones(1)}
    assert fold_parametrizations(tensors, ["a.weight"]) == (tensors, ())
