import numpy as np
import pytest

from tests.targets.coreml.mil.single import Case, check, floats, integers

X, Y = floats(2, 3, 4), floats(3, 1, seed=1)
A, B = integers(2, 5, low=-7, high=8), integers(2, 5, seed=1, low=1, high=4)
TRUTH = {"x": np.array([True, True, False, False]), "y": np.array([True, False, True, False])}

CASES = [
    *(Case(op, {"x": X, "y": Y}) for op in ["add", "sub", "mul", "real_div", "maximum", "minimum", "floor_div", "mod"]),
    *(Case(op, {"x": A, "y": B}) for op in ["add", "sub", "mul", "maximum", "minimum", "floor_div", "mod"]),
    Case("pow", {"x": floats(2, 3, low=0.1), "y": floats(3, seed=1)}),
    *(
        Case(op, {"x": A, "y": B})
        for op in ["equal", "not_equal", "greater", "greater_equal", "less", "less_equal"]
    ),
    *(Case(op, TRUTH) for op in ["logical_and", "logical_or", "logical_xor"]),
    Case("select", {"cond": A > 0, "a": A, "b": B}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)
