import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.program import TensorType
from tests.targets.coreml.mil.single import Case, check, compute, data_type, floats

X = floats(1, 2, 5, 7)
PLACES = floats(1, 3, 4, 2, seed=1, low=-1.4, high=1.4)  # some lie outside
TORCH = {"constant": "zeros", "border": "border", "reflection": "reflection", "symmetric": "reflection"}


def settings(sampling: str, padding: str, corners: bool) -> dict[str, object]:
    return {
        "x": X,
        "coordinates": PLACES,
        "sampling_mode": sampling,
        "padding_mode": padding,
        "padding_value": 0.0,
        "coordinates_mode": "normalized_minus_one_to_one",
        "align_corners": corners,
    }


CASES = [
    *(
        Case(
            "resample",
            settings(sampling, padding, corners),
            lambda x, coordinates, sampling_mode, padding_mode, align_corners, **_: F.grid_sample(
                x, coordinates, sampling_mode, TORCH[padding_mode], align_corners
            ),
        )
        for sampling in ("bilinear", "nearest")
        for padding, corners in [
            ("constant", True), ("constant", False), ("border", True), ("border", False),
            ("reflection", True), ("symmetric", False),
        ]
    ),
    Case(
        "resample",
        settings("bilinear", "constant", True) | {"padding_value": 3.0},
        lambda x, coordinates, **_: F.grid_sample(F.pad(x, (9, 9, 9, 9), value=3.0), coordinates * torch.tensor(
            [6 / 24, 4 / 22]), align_corners=True),
    ),
    Case(
        "resample",
        settings("bilinear", "border", False)
        | {"coordinates_mode": "normalized_zero_to_one", "coordinates": (PLACES + 1) / 2},
        lambda x, **_: F.grid_sample(x, torch.from_numpy(PLACES), "bilinear", "border", False),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"coordinates_mode": "unnormalized"}, "coordinates_mode unnormalized is not known"),
        ({"padding_mode": "symmetric", "align_corners": True}, "bilinear with symmetric and align_corners True"),
        ({"sampling_mode": "bicubic"}, "bicubic with constant"),
    ],
)
def test_refuses_what_is_not_known(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(ArtifactError, match=reason):
        compute("resample", settings("bilinear", "constant", False) | changed, [TensorType(data_type("fp32"), None)])


def test_the_first_coordinate_is_the_column() -> None:
    inputs = settings("nearest", "constant", True) | {"coordinates": np.array([[[[1.0, -1.0]]]], np.float32)}
    (found,) = compute("resample", inputs, [TensorType(data_type("fp32"), None)])
    np.testing.assert_array_equal(found[0, :, 0, 0], X[0, :, 0, -1])
