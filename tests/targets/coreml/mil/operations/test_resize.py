import numpy as np
import pytest
import torch.nn.functional as F

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.data_types import AnyArray
from mobilevit_deploy.targets.coreml.mil.program import TensorType
from tests.targets.coreml.mil.single import Case, check, compute, data_type, floats

X = floats(1, 2, 5, 7)
RAMP = np.array([0.0, 1.0], np.float32).reshape(1, 1, 2)

# Sampled places of a ramp from 0 to 1, from the documentation of coremltools' resize_bilinear.
PLACES = {
    "UNALIGN_CORNERS": [[0.0, 0.1, 0.5, 0.9, 1.0], [0, 0, 1 / 3, 2 / 3, 1, 1]],
    "STRICT_ALIGN_CORNERS": [[0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]],
    "ALIGN_CORNERS": [[0.0, 0.25, 0.5, 0.75, 1.0], [0.5]],
    "DEFAULT": [[0.0, 0.4, 0.8, 1.0, 1.0], [0, 1 / 3, 2 / 3, 1, 1, 1]],
    "OFFSET_CORNERS": [[0.1, 0.3, 0.5, 0.7, 0.9], [1 / 12, 0.25, 5 / 12, 7 / 12, 0.75, 11 / 12]],
}


def row(values: list[float]) -> AnyArray:
    return np.array(values, np.float32).reshape(1, 1, -1)


CASES = [
    *(
        Case(
            "resize_bilinear",
            {"x": RAMP, "target_size_width": len(values), "sampling_mode": mode},
            lambda x, target_size_width, sampling_mode, values=values: row(values),
        )
        for mode, rows in PLACES.items()
        for values in rows
    ),
    Case(
        "resize_bilinear",
        {"x": X, "target_size_height": 8, "target_size_width": 4, "sampling_mode": "UNALIGN_CORNERS"},
        lambda x, **_: F.interpolate(x, (8, 4), mode="bilinear"),
    ),
    Case(
        "resize_bilinear",
        {"x": X, "target_size_height": 8, "target_size_width": 4, "sampling_mode": "STRICT_ALIGN_CORNERS"},
        lambda x, **_: F.interpolate(x, (8, 4), mode="bilinear", align_corners=True),
    ),
    Case("resize_bilinear", {"x": RAMP, "target_size_width": 4}, lambda x, **_: row([0, 0.5, 1, 1])),
    Case(
        "resize_bilinear",
        {"x": RAMP, "target_size_width": 1, "sampling_mode": "STRICT_ALIGN_CORNERS"},
        lambda x, **_: row([0]),
    ),
    Case(
        "upsample_bilinear",
        {"x": X, "scale_factor_height": 2, "scale_factor_width": 3, "align_corners": False},
        lambda x, **_: F.interpolate(x, (10, 21), mode="bilinear"),
    ),
    Case(
        "upsample_bilinear",
        {"x": floats(1, 2, 10, 7), "scale_factor_height": 2.3, "scale_factor_width": 1.5},
        lambda x, **_: F.interpolate(x, (23, 10), mode="bilinear", align_corners=True),
    ),
    Case(
        "upsample_bilinear",
        {"x": RAMP, "scale_factor_width": 2, "align_corners": False, "half_pixel_centers": False},
        lambda x, **_: row([0, 0.5, 1, 1]),
    ),
    Case(
        "upsample_bilinear",
        {"x": X, "scale_factor_height": 2, "align_corners": False, "half_pixel_centers": True},
        lambda x, **_: F.interpolate(x, (10, 7), mode="bilinear"),
    ),
    Case(
        "upsample_nearest_neighbor",
        {"x": X, "scale_factor_height": 2, "scale_factor_width": 3},
        lambda x, **_: x.repeat_interleave(2, 2).repeat_interleave(3, 3),
    ),
    Case("upsample_nearest_neighbor", {"x": X}, lambda x: x),
    Case(
        "resize_nearest_neighbor",
        {"x": X, "target_size_height": 8, "target_size_width": 3},
        lambda x, **_: F.interpolate(x, (8, 3), mode="nearest"),
    ),
    Case(
        "resize",
        {"x": X, "shape": [9, 0, 4], "resized_dims": 2, "sampling_mode": "UNALIGN_CORNERS"},
        lambda x, **_: F.interpolate(x, (5, 4), mode="bilinear"),
    ),
    Case(
        "resize",
        {"x": X, "shape": [3, 4], "resized_dims": 2, "interpolation_mode": "NEAREST_NEIGHBOR"},
        lambda x, **_: F.interpolate(x, (3, 4), mode="nearest"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("op", "inputs", "reason"),
    [
        ("resize_bilinear", {"x": X, "sampling_mode": "CUBIC"}, "unknown sampling_mode CUBIC"),
        ("upsample_bilinear", {"x": X, "align_corners": True, "half_pixel_centers": True}, "exclude one another"),
        (
            "resize",
            {
                "x": X,
                "shape": [3, 4],
                "resized_dims": 2,
                "interpolation_mode": "NEAREST_NEIGHBOR",
                "sampling_mode": "ALIGN_CORNERS",
            },
            "NEAREST_NEIGHBOR with ALIGN_CORNERS is not known",
        ),
    ],
)
def test_refuses_what_the_definition_leaves_open(op: str, inputs: dict[str, object], reason: str) -> None:
    with pytest.raises(ArtifactError, match=reason):
        compute(op, inputs, [TensorType(data_type("fp32"), None)])
