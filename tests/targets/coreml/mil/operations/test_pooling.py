from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.program import TensorType
from tests.targets.coreml.mil.single import Case, check, compute, data_type, floats

X = floats(2, 3, 7, 8)
SQUARE: dict[str, Any] = {"x": X, "kernel_sizes": [3, 2], "pad_type": "valid"}
PADDED = {**SQUARE, "pad_type": "custom", "pad": [1, 1, 1, 1], "strides": [2, 2]}
LOPSIDED = {**SQUARE, "pad_type": "custom", "pad": [0, 1, 1, 0]}


def same_upper(x: Tensor, **_: Any) -> Tensor:
    """A stride of 1 and an even width: the odd column comes after."""
    return F.max_pool2d(F.pad(x, (0, 1, 1, 1), value=-torch.inf), (3, 2), 1)


CASES = [
    Case("avg_pool", SQUARE, lambda x, **_: F.avg_pool2d(x, (3, 2), 1)),
    Case("avg_pool", {**SQUARE, "strides": [2, 3]}, lambda x, **_: F.avg_pool2d(x, (3, 2), (2, 3))),
    Case("avg_pool", PADDED, lambda x, **_: F.avg_pool2d(x, (3, 2), 2, (1, 1))),
    Case(
        "avg_pool",
        {**PADDED, "exclude_padding_from_average": True},
        lambda x, **_: F.avg_pool2d(x, (3, 2), 2, 1, count_include_pad=False),
    ),
    Case(
        "avg_pool",
        {**PADDED, "kernel_sizes": [4, 3], "strides": [2, 3], "ceil_mode": True},
        lambda x, **_: F.avg_pool2d(x, (4, 3), (2, 3), 1, True),
    ),
    Case("avg_pool", LOPSIDED, lambda x, **_: F.avg_pool2d(F.pad(x, (1, 0, 0, 1)), (3, 2), 1)),
    Case("avg_pool", {"x": X[0], "kernel_sizes": [4], "pad_type": "valid"}, lambda x, **_: F.avg_pool1d(x, 4, 1)),
    Case(
        "avg_pool",
        {"x": X[None], "kernel_sizes": [2, 2, 2], "pad_type": "valid"},
        lambda x, **_: F.avg_pool3d(x, 2, 1),
    ),
    Case("max_pool", SQUARE, lambda x, **_: F.max_pool2d(x, (3, 2), 1)),
    Case("max_pool", {**SQUARE, "pad_type": "same"}, same_upper),
    Case(
        "max_pool",
        {**SQUARE, "pad_type": "same_lower"},
        lambda x, **_: F.max_pool2d(F.pad(x, (1, 0, 1, 1), value=-torch.inf), (3, 2), 1),
    ),
    Case("max_pool", PADDED, lambda x, **_: F.max_pool2d(x, (3, 2), 2, (1, 1))),
    Case("max_pool", {**PADDED, "ceil_mode": True}, lambda x, **_: F.max_pool2d(x, (3, 2), 2, 1, 1, True)),
    Case(
        "max_pool",
        {**SQUARE, "strides": [3, 3], "ceil_mode": True},
        lambda x, **_: F.max_pool2d(x, (3, 2), 3, 0, 1, True),
    ),
    Case("l2_pool", SQUARE, lambda x, **_: F.lp_pool2d(x, 2, (3, 2), 1)),
    Case("l2_pool", PADDED, lambda x, **_: F.lp_pool2d(F.pad(x, (1, 1, 1, 1)), 2, (3, 2), 2)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_pool_is_pytorchs(data: st.DataObject) -> None:
    size, kernel, stride = data.draw(st.integers(4, 9)), data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    pad = data.draw(st.integers(0, kernel // 2))
    ceil_mode, exclude = data.draw(st.booleans()), data.draw(st.booleans())
    inputs = {
        "x": floats(1, 2, size),
        "kernel_sizes": [kernel],
        "strides": [stride],
        "pad_type": "custom",
        "pad": [pad, pad],
        "ceil_mode": ceil_mode,
    }
    check(Case("max_pool", inputs, lambda x, **_: F.max_pool1d(x, kernel, stride, pad, 1, ceil_mode)))
    check(
        Case(
            "avg_pool",
            {**inputs, "exclude_padding_from_average": exclude},
            lambda x, **_: F.avg_pool1d(x, kernel, stride, pad, ceil_mode, not exclude),
        )
    )


def test_l2_pool_refuses_what_the_definition_leaves_open() -> None:
    with pytest.raises(ArtifactError, match="ceil_mode is not defined"):
        compute("l2_pool", {**SQUARE, "ceil_mode": True}, [TensorType(data_type("fp32"), None)])
