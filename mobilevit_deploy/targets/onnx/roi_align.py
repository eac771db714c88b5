"""Parts of a map, brought to one size, by ONNX's own operator; ``operations/roi_align.py`` says what it computes."""

from typing import Any

import numpy as np
from onnxscript import ir, opset18

op: Any = opset18  # whose types are those of arrays, where the exporter hands in values of its graph


def write_roi_align(features: Any, boxes: Any, scale: float, size: int) -> Any:
    """Returns the op's result; for the exporter, which traces it."""
    image = op.Constant(value=ir.tensor(np.zeros(boxes.shape[0], np.int64)))  # of the batch, that each box is of
    return op.RoiAlign(
        features,
        boxes,
        image,
        coordinate_transformation_mode="half_pixel",
        mode="avg",
        output_height=size,
        output_width=size,
        sampling_ratio=0,
        spatial_scale=scale,
    )
