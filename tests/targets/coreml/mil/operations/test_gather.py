from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.program import TensorType
from tests.targets.coreml.mil.single import Case, check, compute, data_type, floats, integers

X = floats(4, 5, 6)
DATA = floats(4, 3)
UPDATES = floats(2, 3, seed=1, low=0.5)
ROWS = np.array([2, 0], np.int32)
REPEATED = np.array([2, 2], np.int32)


COMBINATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "max": torch.maximum,
    "min": torch.minimum,
    "update": lambda _, update: update,
}


def scattered(data: Tensor, indices: Tensor, updates: Tensor, mode: str = "add", axis: int = 0) -> Tensor:
    """Slice by slice, as the definition reads."""
    result = data.clone().movedim(axis, 0)
    for place, update in zip(indices.tolist(), updates.movedim(axis, 0), strict=True):
        result[place] = COMBINATIONS[mode](result[place], update)
    return result.movedim(0, axis)


CASES = [
    Case("gather", {"x": X, "indices": np.array([3, -1, 0], np.int32)}),
    Case("gather", {"x": X, "indices": np.array([[1, 0], [2, 4]], np.int32), "axis": 1}),
    Case("gather", {"x": X, "indices": np.int32(2), "axis": -1}),
    Case("gather", {"x": X, "indices": integers(4, 2, 3), "axis": 1, "batch_dims": 1}, ios=16),
    Case("gather", {"x": X, "indices": integers(4, 2), "axis": 2, "batch_dims": 1}, ios=16),
    Case("gather", {"x": X, "indices": np.array([3, 1], np.uint16), "validate_indices": True}, ios=17),
    Case("gather_along_axis", {"x": X, "indices": integers(4, 2, 6), "axis": 1}),
    Case("gather_along_axis", {"x": X, "indices": integers(2, 5, 6, low=-4, high=4)}),
    Case("gather_nd", {"x": X, "indices": ROWS[:, None]}, lambda x, indices: x[[2, 0]]),
    Case(
        "gather_nd",
        {"x": X, "indices": np.array([[3, 1, 2], [0, -1, 5]], np.int32)},
        lambda x, indices: torch.stack([x[3, 1, 2], x[0, -1, 5]]),
    ),
    Case(
        "gather_nd",
        {"x": X, "indices": integers(4, 2, 1), "batch_dims": 1},
        lambda x, indices, batch_dims: torch.stack([row[index[:, 0]] for row, index in zip(x, indices, strict=True)]),
    ),
    *(
        Case("scatter", {"data": DATA, "indices": ROWS, "updates": UPDATES, "mode": mode}, scattered)
        for mode in ["add", "sub", "mul", "div", "max", "min", "update"]
    ),
    Case("scatter", {"data": DATA, "indices": REPEATED, "updates": UPDATES}, scattered),
    Case("scatter", {"data": DATA, "indices": ROWS, "updates": floats(4, 2, seed=1), "axis": 1}, scattered),
    Case(
        "scatter_along_axis",
        {"data": DATA, "indices": integers(4, 1, high=3), "updates": floats(4, 1, seed=1), "axis": 1, "mode": "update"},
    ),
    Case(
        "scatter_along_axis",
        {"data": DATA, "indices": integers(1, 3, high=4), "updates": floats(1, 3, seed=1)},
        lambda data, indices, updates: data.scatter_add(0, indices.long(), updates),
    ),
    Case(
        "scatter_nd",
        {"data": DATA, "indices": np.zeros((0, 2), np.int32), "updates": np.zeros(0, np.float32)},
        lambda data, indices, updates: data,
    ),
    Case(
        "scatter_nd",
        {"data": DATA, "indices": np.array([[3], [3]], np.int32), "updates": UPDATES},
        lambda data, indices, updates: data.index_add(0, indices[:, 0], updates),
    ),
    Case(
        "scatter_nd",
        {"data": DATA, "indices": np.array([[3, 1], [0, 2]], np.int32), "updates": UPDATES[:, 0], "mode": "update"},
        lambda data, indices, updates, mode: data.index_put(tuple(indices.long().T), updates),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("index", [4, -5])
def test_an_index_beyond_the_axis_is_refused(index: int) -> None:
    with pytest.raises(ArtifactError, match="an index lies beyond the 4 values of the axis"):
        compute("gather", {"x": X, "indices": np.int32(index)}, [TensorType(data_type("fp32"), (5, 6))])
