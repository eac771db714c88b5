"""What of a detector stays in float32, and uncompressed: its boxes have steps of pixels otherwise."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.graph.capture import TensorSpec, capture, recapture
from mobilevit_deploy.targets.app_options import Compression
from mobilevit_deploy.targets.artifact import Artifact, ConversionRequest
from mobilevit_deploy.targets.coreml import convert as coreml
from mobilevit_deploy.targets.coreml import precision
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.coreml.mil.data_types import AnyArray

ROWS, COLUMNS = 40, 50
COUNT = ROWS * COLUMNS


class Anchors(nn.Module):
    """Boxes at the cells of a map, which convolutions move a little; the anchors are enough to be compressed."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.stem = nn.Conv2d(3, 64, 1)
        self.head = nn.Conv2d(64, 4 + 2, 1)
        self.register_buffer("anchors", torch.rand(COUNT, 4, generator=generator) * 500)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        cells = self.head(self.stem(x)).flatten(2).transpose(1, 2)
        boxes = self.anchors + cells[..., :4].tanh()
        return {"boxes": boxes, "scores": cells[..., 4:].sigmoid()}


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return Anchors().eval()


def convert(net: nn.Module, path: Path, names: tuple[str, ...], compressed: bool = False) -> Artifact:
    x = torch.zeros(1, 3, ROWS, COLUMNS)
    captured = capture(net, x, "features")
    (scheme,) = [item for item in catalog.recipe("coreml").compression["w8"] if item.minimum == 16]
    outputs = tuple(TensorSpec(name, item.shape) for name, item in zip(names, captured.outputs, strict=True))
    request = ConversionRequest(
        program=recapture(captured.graph, x),
        sample=x,
        input=captured.input,
        outputs=outputs,
        precision="w8" if compressed else "fp16",
        version=16,
        metadata={},
        path=path,
        compression=Compression(scheme, None) if compressed else None,
    )
    return coreml.convert(request)


def errors(net: nn.Module, artifact: Artifact) -> tuple[float, float]:
    """Returns how far a box is off in pixels, and a score."""
    x = np.random.default_rng(0).random((1, 3, ROWS, COLUMNS)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(x))
    found = MilRunner(artifact.path).run(x)
    return largest(found[0], expected["boxes"]), largest(found[1], expected["scores"])


def largest(found: AnyArray, expected: Tensor) -> float:
    return float(np.abs(found - expected.numpy()).max())


@pytest.mark.parametrize("compressed", [False, True])
def test_boxes_stay_in_float32(net: nn.Module, tmp_path: Path, compressed: bool) -> None:
    artifact = convert(net, tmp_path / "net.mlpackage", ("boxes", "scores"), compressed)
    box, score = errors(net, artifact)
    assert box < 0.05, "the convolutions' own error, which tanh passes on"
    assert 1e-5 < score < 0.05, "scores are half precision"
    if compressed:
        assert artifact.compression is not None
        assert artifact.compression.left_bytes["kept in float32"] == 4 * COUNT * 4


def test_without_it_boxes_are_off(net: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name: other outputs are what a user says that they are."""
    box, _ = errors(net, convert(net, tmp_path / "other.mlpackage", ("other", "scores")))
    assert box > 0.1
    monkeypatch.setattr(precision, "BOXES", ())
    box, _ = errors(net, convert(net, tmp_path / "compressed.mlpackage", ("boxes", "scores"), compressed=True))
    assert box > 1
