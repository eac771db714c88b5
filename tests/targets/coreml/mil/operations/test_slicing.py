from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.program import TensorType
from tests.targets.coreml.mil.single import Case, check, compute, data_type, floats

X = floats(4, 5, 6)
FALSE = [False] * 3

CASES = [
    Case("slice_by_index", {"x": X, "begin": [1, 0, -3], "end": [3, 5, -1]}),
    Case("slice_by_index", {"x": X, "begin": [0, 1, 5], "end": [4, 5, 0], "stride": [2, 3, -2]}),
    Case("slice_by_index", {"x": X, "begin": [2, 2, 2], "end": [4, 4, 4], "begin_mask": [True, False, False]}),
    Case("slice_by_index", {"x": X, "begin": [2, 2, 2], "end": [3, 3, 3], "end_mask": [False, True, False]}),
    Case("slice_by_index", {"x": X, "begin": [2, -1, 0], "end": [0, 0, 6], "squeeze_mask": [True, True, False]}),
    Case(
        "slice_by_index",
        {
            "x": X,
            "begin": [0, 0, 0],
            "end": [0, 0, 0],
            "stride": [1, -1, 1],
            "begin_mask": [True] * 3,
            "end_mask": [True] * 3,
        },
        lambda x, **_: x.flip(1),
    ),
    Case("slice_by_size", {"x": X, "begin": [1, 0, -3], "size": [2, -1, 2]}),
    Case(
        "slice_update",
        {"x": X, "update": floats(2, 5, 3, seed=1), "begin": [1, 0, 0], "end": [3, 5, 5], "stride": [1, 1, 2]},
        ios=18,
    ),
    Case(
        "slice_update",
        {
            "x": X,
            "update": floats(4, 2, seed=1),
            "begin": [2, 2, 2],
            "end": [3, 5, 4],
            "begin_mask": [True, False, False],
            "end_mask": [True, False, False],
            "squeeze_mask": [False, True, False],
        },
        ios=18,
    ),
    Case("crop", {"x": X, "crop_height": [1, 2], "crop_width": [0, 3]}, lambda x, **_: x[:, 1:3, :3]),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)


@st.composite
def slices(draw: st.DrawFn) -> tuple[int, dict[str, Any]]:
    """An axis's size, and a range on it that is not empty."""
    size = draw(st.integers(1, 7))
    step = draw(st.sampled_from([-3, -2, -1, 1, 2, 3]))
    first = draw(st.integers(0, size - 1))
    length = draw(st.integers(1, size - first if step > 0 else first + 1))
    last = first + length if step > 0 else first - length
    masks = {"begin_mask": draw(st.booleans()), "end_mask": draw(st.booleans()) or last < 0}
    return size, {"begin": first - size * draw(st.booleans()), "end": last, "stride": step, **masks}


@settings(max_examples=60, deadline=None)
@given(st.lists(slices(), min_size=1, max_size=3))
def test_any_slice(axes: list[tuple[int, dict[str, Any]]]) -> None:
    """As numpy slices."""
    x = floats(*(size for size, _ in axes))
    inputs = {name: np.array([part[name] for _, part in axes]) for name in axes[0][1]}
    expected = x[
        tuple(
            slice(None if p["begin_mask"] else p["begin"], None if p["end_mask"] else p["end"], p["stride"])
            for _, p in axes
        )
    ]
    (found,) = compute("slice_by_index", {"x": x, **inputs}, [TensorType(data_type("fp32"), expected.shape)])
    np.testing.assert_array_equal(found, expected)


def test_an_index_beyond_the_axis_is_refused() -> None:
    inputs = {"x": floats(3), "begin": [3], "end": [4], "squeeze_mask": [True]}
    with pytest.raises(ArtifactError, match="slice_by_index 'tested' cannot be computed: range object index"):
        compute("slice_by_index", inputs, [TensorType(data_type("fp32"), ())])
