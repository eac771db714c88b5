import numpy as np
import pytest

from tests.targets.coreml.mil.single import Case, check, floats

X = floats(2, 3, 4)
SCALES = np.array([0.02, 0.5, 0.003], np.float32)
POINTS = np.array([10, -20, 3], np.int8)

CASES = [
    Case(
        "quantize",
        {"input": X, "scale": SCALES, "zero_point": POINTS, "axis": 1, "output_dtype": "int8"},
        lambda input, scale, zero_point, **_: (
            (input / scale[:, None]).round() + zero_point[:, None].float()
        ).clamp(-128, 127).int(),
    ),
    Case("quantize", {"input": X, "scale": np.float32(0.1), "output_dtype": "uint8"}, ios=17),
    Case(
        "dequantize",
        {"input": np.arange(-12, 12, dtype=np.int8).reshape(2, 3, 4), "scale": SCALES, "zero_point": POINTS, "axis": 1},
        lambda input, scale, zero_point, axis: (input.float() - zero_point[:, None]) * scale[:, None],
    ),
    Case(
        "dequantize",
        {"input": np.array([-128, 127], np.int8), "scale": np.float32(0.1)},
        lambda input, scale: input * 0.1,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)
