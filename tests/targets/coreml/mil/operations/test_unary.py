import numpy as np
import pytest

from tests.targets.coreml.mil.single import Case, check, floats

X = floats(2, 3, 4)
POSITIVE = floats(2, 3, 4, low=0.1)
UNIT = floats(2, 3, 4, low=-0.9, high=0.9)
NAMES = ["abs", "atan", "ceil", "cos", "cosh", "erf", "exp", "exp2", "floor", "sign", "sin", "sinh", "square", "tan"]

CASES = [
    *(Case(op, {"x": X}) for op in NAMES),
    *(Case(op, {"x": UNIT}) for op in ["acos", "asin", "atanh"]),
    Case("sqrt", {"x": POSITIVE}),
    Case("round", {"x": np.array([-1.5, -0.5, 0.5, 1.5, 2.5, 0.3], np.float32)}),
    Case("identity", {"x": X}),
    Case("logical_not", {"x": np.array([True, False])}),
    Case("cast", {"x": X, "dtype": "int32"}),
    Case("cast", {"x": X, "dtype": "bool"}),
    Case("cast", {"x": np.array([-3, 4], np.int32), "dtype": "fp32"}),
    Case("cast", {"x": np.array([True, False]), "dtype": "fp32"}),
    Case("clip", {"x": X, "alpha": -0.5, "beta": 0.75}),
    Case("inverse", {"x": POSITIVE, "epsilon": 0.5}),
    Case("inverse", {"x": POSITIVE}),
    Case("log", {"x": POSITIVE, "epsilon": 0.5}),
    Case("log", {"x": POSITIVE}),
    Case("rsqrt", {"x": POSITIVE, "epsilon": 0.5}),
    Case("rsqrt", {"x": POSITIVE}),
    Case("threshold", {"x": X, "alpha": 0.25}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)
