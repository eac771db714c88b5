from itertools import product

import numpy as np
import pytest
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.program import TensorType
from tests.targets.coreml.mil.single import Case, check, compute, data_type, floats

X1, X2, X3 = floats(2, 4, 9), floats(2, 4, 9, 8), floats(1, 2, 5, 6, 7)
W2 = floats(6, 4, 3, 2, seed=1)
DOWN = floats(4, 6, 3, 2, seed=1)  # of a transposed convolution, (C, O, *kernel)
BIAS = floats(6, seed=2)

CASES = [
    Case("conv", {"x": X2, "weight": W2}, lambda x, weight: F.conv2d(x, weight)),
    Case(
        "conv", {"x": X1, "weight": W2[..., 0], "strides": [2]}, lambda x, weight, strides: F.conv1d(x, weight, None, 2)
    ),
    Case("conv", {"x": X3, "weight": floats(3, 2, 2, 3, 1)}, lambda x, weight: F.conv3d(x, weight)),
    Case(
        "conv",
        {"x": X2, "weight": floats(6, 2, 3, 3), "bias": BIAS, "groups": 2, "strides": [2, 1], "dilations": [1, 2]},
        lambda x, weight, bias, **_: F.conv2d(x, weight, bias, (2, 1), 0, (1, 2), 2),
    ),
    Case(
        "conv",
        {"x": X2, "weight": W2, "pad_type": "custom", "pad": [1, 1, 2, 2]},
        lambda x, weight, **_: F.conv2d(x, weight, None, 1, (1, 2)),
    ),
    Case(
        "conv",
        {"x": X2, "weight": W2, "pad_type": "custom", "pad": [0, 1, 3, 2]},
        lambda x, weight, **_: F.conv2d(F.pad(x, (3, 2, 0, 1)), weight),
    ),
    Case(
        "conv",
        {"x": X2, "weight": W2, "pad_type": "same"},
        lambda x, weight, **_: F.conv2d(F.pad(x, (0, 1, 1, 1)), weight),
    ),
    Case(
        "conv",
        {"x": X2, "weight": W2, "pad_type": "same_lower", "strides": [1, 3]},
        lambda x, weight, **_: F.conv2d(F.pad(x, (0, 0, 1, 1)), weight, None, (1, 3)),
    ),
    Case(
        "conv",
        {"x": X2, "weight": W2, "pad_type": "same_lower"},
        lambda x, weight, **_: F.conv2d(F.pad(x, (1, 0, 1, 1)), weight),
    ),
    Case("conv_transpose", {"x": X2, "weight": DOWN}, lambda x, weight: F.conv_transpose2d(x, weight)),
    Case("conv_transpose", {"x": X1, "weight": DOWN[..., 0]}, lambda x, weight: F.conv_transpose1d(x, weight)),
    Case(
        "conv_transpose",
        {"x": X2, "weight": DOWN[:, :3], "bias": BIAS, "groups": 2, "strides": [2, 3], "dilations": [2, 1]},
        lambda x, weight, bias, **_: F.conv_transpose2d(x, weight, bias, (2, 3), 0, 0, 2, (2, 1)),
    ),
    Case(
        "conv_transpose",
        {"x": X2, "weight": DOWN, "strides": [2, 2], "pad_type": "custom", "pad": [1, 1, 0, 1]},
        lambda x, weight, **_: F.conv_transpose2d(x, weight, None, 2)[:, :, 1:-1, :-1],
    ),
    Case(
        "conv_transpose",
        {
            "x": X2,
            "weight": DOWN,
            "bias": BIAS,
            "strides": [2, 2],
            "pad_type": "custom",
            "pad": [1, 1, 0, 0],
            "output_shape": [2, 6, 18, 17],
        },
        lambda x, weight, bias, **_: F.conv_transpose2d(x, weight, bias, 2, (1, 0), (1, 1)),
    ),
    Case(
        "conv_transpose",
        {"x": X2, "weight": DOWN, "strides": [2, 2], "pad_type": "same"},
        lambda x, weight, **_: F.conv_transpose2d(x, weight, None, 2)[:, :, :-1, :],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)


@pytest.mark.filterwarnings("ignore:Using padding")  # PyTorch speaks of its own copy
@pytest.mark.parametrize(("kernel", "dilation", "even"), list(product([1, 2, 3, 4], [1, 2], [8, 9])))
def test_same_padding_is_pytorchs(kernel: int, dilation: int, even: int) -> None:
    x, weight = floats(1, 2, even), floats(3, 2, kernel)
    check(
        Case(
            "conv",
            {"x": x, "weight": weight, "pad_type": "same", "dilations": [dilation]},
            lambda x, weight, **_: F.conv1d(x, weight, padding="same", dilation=dilation),
        )
    )


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_convolution(data: st.DataObject) -> None:
    """Each spatial axis with its own kernel, stride, dilation and pads before and after."""
    axes = data.draw(st.integers(1, 2))
    groups = data.draw(st.integers(1, 3))

    def sizes(low: int, high: int) -> list[int]:
        return data.draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes))

    kernel, strides, dilations, before, after = sizes(1, 3), sizes(1, 3), sizes(1, 2), sizes(0, 2), sizes(0, 2)
    x, weight = floats(1, 2 * groups, *sizes(5, 8)), floats(groups, 2, *kernel)
    pads = [amount for pair in zip(before, after, strict=True) for amount in pair]

    def padded(x: Tensor, weight: Tensor, **_: object) -> Tensor:
        reversed_pads = [amount for pair in zip(before[::-1], after[::-1], strict=True) for amount in pair]
        convolution = F.conv1d if axes == 1 else F.conv2d
        return convolution(F.pad(x, reversed_pads), weight, None, strides, 0, dilations, groups)

    inputs = {"x": x, "weight": weight, "pad_type": "custom", "pad": pads}
    check(Case("conv", {**inputs, "strides": strides, "dilations": dilations, "groups": groups}, padded))


def test_beyond_what_weights_reach_is_the_bias() -> None:
    inputs = {"x": floats(1, 1, 2), "weight": floats(1, 1, 1), "bias": np.array([5.0]), "strides": [2]}
    (found,) = compute(
        "conv_transpose", {**inputs, "output_shape": [1, 1, 6]}, [TensorType(data_type("fp32"), (1, 1, 6))]
    )
    assert found[0, 0, [1, 3, 4, 5]].tolist() == [5.0] * 4
