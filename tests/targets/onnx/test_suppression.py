"""Non-maximum suppression in ONNX's operators, beside its plain definition."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from mobilevit_deploy.architectures.operations.suppression import SUPPRESS
from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.targets.onnx import suppression
from mobilevit_deploy.targets.onnx.suppression import write_suppression

COUNT, CLASSES = 60, 3
Settings = tuple[list[int], int, float, float, int] | tuple[list[int], int, float, float, int, bool]
SETTINGS: dict[str, Settings] = {
    "several levels": ([40, 20], 30, 0.05, 0.5, 20),
    "fewer left than asked for": ([40, 20], 30, 0.9, 0.5, 50),
    "none left": ([40, 20], 30, 0.9999, 0.5, 50),
    "fewer boxes than candidates": ([60], 10_000, 0.0, 0.3, 10),
    "all that does not overlap": ([60], 1000, 0.0, 1.0, 200),
    "candidates of each class": ([40, 20], 7, 0.05, 0.5, 20, True),
    "of each class, more than there are": ([60], 100, 0.05, 0.5, 20, True),
}


class Suppressed(nn.Module):
    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, boxes: Tensor, scores: Tensor) -> object:
        return SUPPRESS(boxes, scores, *self.settings)


def write(module: nn.Module, path: Path) -> onnxruntime.InferenceSession:
    sample = (torch.rand(1, COUNT, 4), torch.rand(1, COUNT, CLASSES))
    with quiet_torch():
        program = torch.export.export(module, sample, strict=False)
        table: dict[Any, Any] = {SUPPRESS: write_suppression}
        written = torch.onnx.export(program, sample, dynamo=True, opset_version=20, custom_translation_table=table)
        assert written is not None
        written.save(str(path))
    onnx.checker.check_model(str(path), full_check=True)
    return onnxruntime.InferenceSession(str(path))


def detections(generator: torch.Generator, *, ties: bool = False) -> tuple[Tensor, Tensor]:
    """Returns boxes, some without area, and scores, some equal."""
    centre, half = torch.rand(2, 1, COUNT, 2, generator=generator)
    boxes = torch.cat((centre * 100 - half * 20, centre * 100 + half * 20), dim=-1).clamp(0, 100)
    boxes[0, ::7, 2] = boxes[0, ::7, 0]
    scores = torch.rand(1, COUNT, CLASSES, generator=generator)
    return boxes, (scores * 8).floor() / 8 if ties else scores


def largest_difference(session: onnxruntime.InferenceSession, module: nn.Module, *, ties: bool = False) -> float:
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for _ in range(10):
        given = detections(generator, ties=ties)
        names = [item.name for item in session.get_inputs()]
        found = session.run(None, dict(zip(names, (item.numpy() for item in given), strict=True)))
        for before, after in zip(module(*given), found, strict=True):
            assert (after.shape, after.dtype) == (tuple(before.shape), before.numpy().dtype)
            worst = max(worst, float(np.abs(before.numpy() - after).max(initial=0)))
    return worst


@pytest.mark.parametrize("case", SETTINGS)
def test_as_the_plain_definition(case: str, tmp_path: Path) -> None:
    module = Suppressed(SETTINGS[case])
    session = write(module, tmp_path / "nms.onnx")
    assert largest_difference(session, module) == 0
    assert largest_difference(session, module, ties=True) == 0
    model = onnx.load(tmp_path / "nms.onnx")
    assert {node.domain for node in model.graph.node} == {""}
    assert all(dim.dim_value for value in model.graph.output for dim in value.type.tensor_type.shape.dim)


def test_a_wrong_version_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppression, "_has_area", lambda box: suppression._constant(np.array([True])))
    module = Suppressed(SETTINGS["several levels"])
    assert largest_difference(write(module, tmp_path / "nms.onnx"), module) > 0
