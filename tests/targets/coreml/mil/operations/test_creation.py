import numpy as np
import pytest
import torch

from tests.targets.coreml.mil.single import Case, check, floats

CASES = [
    Case("fill", {"shape": [2, 3], "value": 1.5}),
    Case("fill", {"shape": [2, 3]}),
    Case("fill_like", {"ref_tensor": floats(2, 3), "value": 2.5}, ios=16),
    Case("fill_like", {"ref_tensor": floats(2, 3)}, lambda ref_tensor: torch.zeros(2, 3)),
    Case("range_1d", {"start": 2, "end": 11, "step": 3}),
    Case("range_1d", {"start": 2.0, "end": -1.0, "step": -0.5}),
    Case(
        "one_hot",
        {"indices": np.array([[2, 0], [1, 1]], np.int32), "one_hot_vector_size": 3},
        lambda indices, one_hot_vector_size: np.eye(3, dtype=np.int32)[indices],
    ),
    Case(
        "one_hot",
        {
            "indices": np.array([2, 0], np.int32),
            "one_hot_vector_size": 3,
            "axis": 0,
            "on_value": 5.0,
            "off_value": -1.0,
        },
        lambda **_: np.array([[-1.0, 5.0], [-1.0, -1.0], [5.0, -1.0]], np.float32),
    ),
    Case("non_zero", {"x": np.array([[0, 1], [2, 0]], np.int32)}, lambda x: x.nonzero().int()),
    Case("shape", {"x": floats(2, 3, 4)}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)
