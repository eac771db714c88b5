import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.targets.coreml.mil.single import Case, check, floats

X = floats(2, 3, 4, 5)
GAMMA, BETA = floats(3, seed=1), floats(3, seed=2)
MEAN, VARIANCE = floats(3, seed=3), floats(3, seed=4, low=0.1)


def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    mean, variance = mean[:, None, None], variance[:, None, None]
    gain = 1.0 if gamma is None else gamma[:, None, None]
    shift = 0.0 if beta is None else beta[:, None, None]
    return gain * (x - mean) / torch.sqrt(variance + epsilon) + shift


STATISTICS = {"x": X, "mean": MEAN, "variance": VARIANCE}
CASES = [
    Case("batch_norm", STATISTICS, batch_norm),
    Case("batch_norm", {**STATISTICS, "gamma": GAMMA, "beta": BETA, "epsilon": 0.01}, batch_norm),
    Case("instance_norm", {"x": X}, lambda x: F.instance_norm(x)),
    Case(
        "instance_norm",
        {"x": X, "gamma": GAMMA, "beta": BETA, "epsilon": 0.01},
        lambda x, gamma, beta, epsilon: F.instance_norm(x, weight=gamma, bias=beta, eps=epsilon),
    ),
    Case("l2_norm", {"x": X}),
    Case("l2_norm", {"x": X, "epsilon": 0.5}),
    Case("l2_norm", {"x": X[0], "epsilon": 0.5}),
    Case("layer_norm", {"x": X}, lambda x: F.layer_norm(x, x.shape)),
    Case("layer_norm", {"x": X, "axes": [-1], "gamma": floats(5), "beta": floats(5, seed=1), "epsilon": 0.01}),
    Case("layer_norm", {"x": X, "axes": [3, 2], "gamma": floats(4, 5), "beta": floats(4, 5, seed=1)}),
    Case("layer_norm", {"x": X, "axes": [1], "gamma": floats(3), "beta": floats(3, seed=1), "epsilon": 0.01}),
    Case("layer_norm", {"x": X, "axes": [1, 3], "gamma": floats(3, 5), "epsilon": 0.01}),
    Case("layer_norm", {"x": X, "axes": [1]}),
    Case("local_response_norm", {"x": X, "size": 3}, lambda x, size: F.local_response_norm(x, size)),
    Case(
        "local_response_norm",
        {"x": X, "size": 3, "alpha": 0.5, "beta": 0.6, "k": 2.0},
        lambda x, size, alpha, beta, k: F.local_response_norm(x, size, alpha, beta, k),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)
