"""RoIAlign as an op: beside its definition, sample by sample."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mobilevit_deploy.architectures.operations import roi_align as module
from mobilevit_deploy.architectures.operations.roi_align import ROI_ALIGN, roi_align
from tests.support.two_stages import align

SIDES = (6, 9)  # of the map, of stride 4
corner = st.floats(-12, 48).map(lambda value: round(value, 2))


def some_map(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(1, 2, *SIDES, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def largest_difference(boxes: list[list[float]], size: int) -> float:
    features = some_map()
    found = roi_align(features, torch.tensor(boxes, dtype=torch.float64), 0.25, size).numpy()
    expected = np.stack([align(features[0].numpy(), np.array(box), 0.25, size) for box in boxes])
    assert found.shape == (len(boxes), 2, size, size)
    return float(np.abs(found - expected).max())


@settings(max_examples=6)
@given(st.lists(st.lists(corner, min_size=4, max_size=4), min_size=1, max_size=2), st.integers(1, 3))
def test_as_defined_of_any_boxes(boxes: list[list[float]], size: int) -> None:
    assert largest_difference(boxes, size) < 1e-12


BOXES = [[0.0, 0.0, 36.0, 24.0], [3.0, 5.0, 9.0, 20.0], [-8.0, -8.0, 40.0, 30.0]]


def test_a_box_without_area_gives_nothing() -> None:
    boxes = torch.tensor([[4.0, 4.0, 4.0, 9.0], [4.0, 4.0, 9.0, 4.0], [0.0, 0.0, 0.0, 0.0], [9.0, 9.0, 4.0, 4.0]])
    assert not roi_align(some_map(torch.float32), boxes, 0.25, 2).any()


def test_a_constant_map_stays_constant_where_it_is() -> None:
    found = roi_align(torch.ones(1, 1, *SIDES), torch.tensor(BOXES[:2]), 0.25, 3)
    np.testing.assert_allclose(found, 1, rtol=1e-6)


def test_the_op_in_float32_and_its_shapes() -> None:
    boxes = torch.tensor(BOXES)
    found = ROI_ALIGN(some_map(torch.float32), boxes, 0.25, 5)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, roi_align(some_map(), boxes.double(), 0.25, 5), atol=1e-6)
    torch.library.opcheck(
        ROI_ALIGN, (some_map(), boxes.double(), 0.25, 5), test_utils=("test_schema", "test_faketensor")
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_another_number_of_samples_is_noticed(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "math", type("math", (), {"ceil": staticmethod(lambda _step: count)}))
    assert largest_difference(BOXES, 2) > 1e-3


def test_what_lies_beyond_the_map_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "__le__", lambda self, _other: torch.ones_like(self, dtype=torch.bool))
    assert largest_difference(BOXES, 2) > 1e-3
