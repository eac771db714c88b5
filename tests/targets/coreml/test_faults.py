"""What coremltools converts to something else is rewritten, refused, or its pass left out.

Tests show that it still does so where the guard is taken away: a guard that a later release makes needless shows.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import ArtifactError, ConversionError
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.rewrites.order import chosen_rewrites
from mobilevit_deploy.targets.coreml import faults
from tests.rewrites.conftest import Of, randomise
from tests.targets.coreml.conversion import LIMIT, Function, error_of


class Layer(nn.Module):
    """A layer, then a function of its output and of two constants per channel."""

    def __init__(self, layer: nn.Module, function: Callable[[Tensor, Tensor, Tensor], Tensor], channels: int) -> None:
        super().__init__()
        self.layer, self.function = layer, function
        self.register_buffer("a", torch.ones(1, channels, 1, 1))
        self.register_buffer("b", torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x), self.a, self.b)  # type: ignore[arg-type]


def _positive(x: Tensor) -> Tensor:
    return x.abs() + 0.1


# What coremltools converts to something else: the call, and what its refusal says where nothing is rewritten.
FAULTY: dict[str, tuple[nn.Module | Function, str]] = {
    "tanh gelu": (lambda x: F.gelu(x, approximate="tanh"), "tanh form of GELU into the exact one"),
    "alpha": (lambda x: torch.add(x, x.flip(1), alpha=2.5), "loses the alpha"),
    "alpha of rsub": (lambda x: torch.rsub(x, x.flip(1), alpha=2), "loses the alpha"),
    "crossed clamp": (lambda x: x.clamp(x.flip(1), x.flip(2)), "bounds in the wrong order"),
    "softplus": (lambda x: F.softplus(x, 2.0, 1.5), "loses the threshold"),
    "reciprocal": (lambda x: 1 / _positive(x), "adds 1e-4 to the input of a reciprocal"),
    "rsqrt": (lambda x: (_positive(x) * 1e-10).rsqrt(), "adds 1e-12 to the input of rsqrt"),
    "log softmax": (lambda x: (x * 100).log_softmax(1), "logarithm of a softmax"),
    "half a turn": (lambda x: torch.atan2(x.relu(), x), "loses half a turn"),
    "rms norm": (Of(lambda m, x: m.norm(x), norm=nn.RMSNorm((8, 9), eps=1e-3)), "scales the epsilon of an RMS norm"),
    "running statistics": (nn.InstanceNorm2d(4, track_running_stats=True), "loses the running statistics"),
    "deviation": (lambda x: x * x.std(), "loses the correction of a variance"),
    "antialias": (lambda x: F.interpolate(x, size=(3, 4), mode="bilinear", antialias=True), "loses antialias"),
    "scale": (
        lambda x: F.interpolate(x, scale_factor=(2.3, 0.6)),
        "takes the scale of an interpolation from its sizes",
    ),
    "max pool": (lambda x: F.max_pool2d(x, 2, 3, ceil_mode=True), "one window too many"),
    "mean pool": (lambda x: F.avg_pool2d(x, 1, 2, ceil_mode=True), "one window too many"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_rewritten(name: str, tmp_path: Path) -> None:
    assert error_of(FAULTY[name][0], tmp_path, rewrite=True) < LIMIT


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_refused_where_it_is_left(name: str, tmp_path: Path) -> None:
    module, message = FAULTY[name]
    with pytest.raises(ConversionError, match=message) as caught:
        error_of(module, tmp_path, rewrite=False)
    assert "leave --no-rewrite out, or take a recipe with" in str(caught.value.hint)


@pytest.mark.parametrize("name", FAULTY)
def test_the_fault_is_still_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "FAULTS", ())
    module, message = FAULTY[name]
    if "window" in message:
        with pytest.raises(ArtifactError, match="the program declares"):  # another size than the op computes
            error_of(module, tmp_path, rewrite=False)
    else:
        assert error_of(module, tmp_path, rewrite=False) > 2 * LIMIT


def test_every_fault_and_pass_has_a_case() -> None:
    told = {message for _, message in FAULTY.values()} | {"integers of 8 and 16 bits"}
    assert all(any(text in fault.message for text in told) for fault in faults.FAULTS)
    names = {rewrite.name for rewrite in chosen_rewrites(catalog.recipe("coreml"))}
    assert {fault.remedy for fault in faults.FAULTS if " " not in fault.remedy} <= names
    assert {name for _, name in SPOILED.values()} == faults.PASSES.keys()


def test_small_integers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="do not wrap around") as caught:
        error_of(lambda x: ((x.abs() * 50).to(torch.uint8) + 200).float(), tmp_path, rewrite=True)
    assert "cast to torch.int32" in str(caught.value.hint)


# Programs that a pass of coremltools spoils, and which.
SPOILED: dict[str, tuple[nn.Module, str]] = {
    "product and sum": (Layer(nn.ReLU(), lambda y, a, b: (y * a + b) * 1, 4), "common::fuse_elementwise_to_batchnorm"),
    "difference": (Layer(nn.Conv2d(4, 6, 3), lambda y, a, b: (y - a) * a, 6), "common::fuse_conv_bias"),
    "from a constant": (
        Of(lambda m, x: m.linear.bias - x @ m.linear.weight.T, linear=nn.Linear(9, 9)),
        "common::fuse_matmul_weight_bias",
    ),
    "scaled": (
        Layer(nn.ConvTranspose2d(4, 6, 2, 2, groups=2), lambda y, a, b: (y * a) * 1, 6),
        "common::fuse_conv_scale",
    ),
    "normalised": (
        nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), nn.ReLU()),
        "common::fuse_conv_batchnorm",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_pass_that_spoils_is_left_out(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, culprit = SPOILED[name]
    assert error_of(module, tmp_path, rewrite=False) < LIMIT
    kept = {key: spoils for key, spoils in faults.PASSES.items() if key != culprit}
    monkeypatch.setattr(faults, "PASSES", kept)
    assert error_of(module, tmp_path, rewrite=False) > 2 * LIMIT


def test_the_model_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _ = SPOILED["difference"]
    for guarded in (True, False):
        if not guarded:
            monkeypatch.setattr(faults, "PASSES", {})
        error_of(module, tmp_path, rewrite=False)
        found = {name: value.clone() for name, value in module.state_dict().items()}
        randomise(module)
        assert guarded == all(torch.equal(value, found[name]) for name, value in module.state_dict().items())


NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 5)
        self.gain, self.offset = nn.Parameter(torch.rand(64, 1, 1) + 0.5), nn.Parameter(torch.rand(64, 1, 1))

    def forward(self, x):
        return (self.conv(x).relu() * self.gain + self.offset).mean((2, 3))


build = Net
"""


def test_compression_leaves_them_out_too(tmp_path: Path) -> None:
    """It runs all passes once more, where a batch_norm in half precision would not even be made."""
    path = tmp_path / "net.py"
    path.write_text(NET)
    model = ModelRequest(f"{path}:build", size=(16, 16))
    (report,) = export_model(ExportRequest(model, ("coreml",), precision="w8", rewrite=False, folder=tmp_path))
    assert report.artifact.compression is not None
    assert {"mul", "add"} <= report.artifact.ops.keys()
