import pytest
import torch

from tests.targets.coreml.mil.single import Case, check, floats

X = floats(2, 3, 4)
POSITIVE = floats(2, 3, 4, low=0.1)
NAMES = ["l1_norm", "l2_norm", "log_sum_exp", "max", "mean", "min", "prod", "sum", "sum_square", "log_sum"]

CASES = [
    *(Case(f"reduce_{name}", {"x": POSITIVE if name == "log_sum" else X, "axes": [0, -1]}) for name in NAMES),
    *(Case(f"reduce_{name}", {"x": POSITIVE, "axes": [1], "keep_dims": True}) for name in NAMES),
    *(Case(f"reduce_{name}", {"x": POSITIVE}) for name in NAMES if name != "log_sum_exp"),
    *(Case(f"reduce_{name}", {"x": X, "axis": 1}) for name in ["argmax", "argmin"]),
    *(Case(f"reduce_{name}", {"x": X, "axis": 0, "keep_dims": True}) for name in ["argmax", "argmin"]),
    *(Case(f"reduce_{name}", {"x": X, "output_dtype": "int32"}, ios=17) for name in ["argmax", "argmin"]),
    Case("cumsum", {"x": X, "axis": 1}),
    Case("cumsum", {"x": X, "axis": 1, "reverse": True}),
    Case(
        "cumsum", {"x": X[0, :, 0], "exclusive": True}, lambda x, exclusive: torch.stack([x[0] * 0, x[0], x[0] + x[1]])
    ),
    Case(
        "cumsum",
        {"x": X[0, :, 0], "exclusive": True, "reverse": True},
        lambda x, exclusive, reverse: torch.stack([x[1] + x[2], x[2], x[0] * 0]),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)
