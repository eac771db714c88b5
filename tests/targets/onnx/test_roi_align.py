"""RoIAlign by ONNX's operator, beside its plain definition."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from mobilevit_deploy.architectures.operations.roi_align import ROI_ALIGN
from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.targets.onnx.roi_align import write_roi_align

TOLERANCE = (
    1e-5  # of values of a normal distribution: ONNX Runtime, which adds the samples up in float32, comes to 7e-6
)
SCALE, SIZE = 0.125, 7


class Part(nn.Module):
    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        found: Tensor = ROI_ALIGN(features, boxes, SCALE, SIZE)
        return found


def given() -> tuple[Tensor, Tensor]:
    """Returns a map and boxes: some beyond its borders, some without area."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 3, 23, 31, generator=generator)
    centres, half = torch.rand(2, 50, 2, generator=generator)
    centres = centres * torch.tensor([31 / SCALE, 23 / SCALE])
    boxes = torch.cat((centres - half * 90, centres + half * 90), dim=1)
    boxes[::9] = 0
    return features, boxes


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("roi_align") / "part.onnx"
    table: dict[Any, Any] = {ROI_ALIGN: write_roi_align}
    with quiet_torch():
        program = torch.export.export(Part(), given(), strict=False)
        model = torch.onnx.export(program, given(), dynamo=True, opset_version=18, custom_translation_table=table)
    assert model is not None
    model.save(str(path))
    return path


def difference(model: onnx.ModelProto) -> float:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [item.name for item in session.get_inputs()]
    (found,) = session.run(None, dict(zip(names, (item.numpy() for item in given()), strict=True)))
    return float(np.abs(found - Part()(*given()).numpy()).max())


def test_as_the_plain_definition(written: Path) -> None:
    model = onnx.load(written)
    assert [node.op_type for node in model.graph.node if node.op_type != "Constant"] == ["RoiAlign"]
    assert {node.domain for node in model.graph.node} == {""}
    assert difference(model) < TOLERANCE


WRONG = {
    "coordinate_transformation_mode": "output_half_pixel",
    "sampling_ratio": 2,
    "mode": "max",
    "spatial_scale": SCALE * 1.001,
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_attribute_is_noticed(name: str, written: Path) -> None:
    model = onnx.load(written)
    (node,) = (node for node in model.graph.node if node.op_type == "RoiAlign")
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, WRONG[name])])
    assert difference(model) > 100 * TOLERANCE
