import numpy as np
import pytest
import torch.nn.functional as F

from tests.targets.coreml.mil.single import Case, check, floats

X = floats(2, 3, 4, 5)
CHANNELS = floats(3, seed=1, low=0.1)

CASES = [
    *(Case(op, {"x": X}) for op in ["relu", "sigmoid", "softplus", "softsign", "tanh", "softmax", "gelu"]),
    Case("relu6", {"x": 5 * X}),
    Case("silu", {"x": X}, lambda x: F.silu(x)),
    Case("softmax", {"x": X, "axis": 1}),
    *(Case("gelu", {"x": X, "mode": mode}) for mode in ["EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"]),
    Case("clamped_relu", {"x": X, "alpha": 0.3, "beta": 0.8}),
    Case("clamped_relu", {"x": X, "alpha": -1.5, "beta": 0.8}),
    Case("elu", {"x": X, "alpha": 0.7}),
    Case("leaky_relu", {"x": X, "alpha": 0.2}),
    Case("linear_activation", {"x": X, "alpha": 0.2, "beta": -1.0}),
    Case("prelu", {"x": X, "alpha": CHANNELS}),
    Case("scaled_tanh", {"x": X, "alpha": 1.7, "beta": 0.6}),
    Case("sigmoid_hard", {"x": X, "alpha": 0.4, "beta": 0.3}),
    Case("softplus_parametric", {"x": X, "alpha": CHANNELS, "beta": floats(3, seed=2)}),
    Case("thresholded_relu", {"x": X, "alpha": 0.5}, lambda x, alpha: F.threshold(x, alpha, 0)),
    Case("thresholded_relu", {"x": np.array([0.5, 1.0], np.float32), "alpha": 0.5}, lambda x, alpha: x),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)
