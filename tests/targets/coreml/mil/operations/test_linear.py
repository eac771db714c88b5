import numpy as np
import pytest

from tests.targets.coreml.mil.single import Case, check, floats

Q, K, V = floats(2, 3, 4, 5), floats(2, 3, 6, 5, seed=1), floats(2, 3, 6, 7, seed=2)

CASES = [
    Case("linear", {"x": floats(2, 3, 4), "weight": floats(5, 4, seed=1)}),
    Case("linear", {"x": floats(2, 3, 4), "weight": floats(5, 4, seed=1), "bias": floats(5, seed=2)}),
    Case("matmul", {"x": floats(2, 3, 4), "y": floats(4, 5, seed=1)}),
    Case("matmul", {"x": floats(2, 4, 3), "y": floats(2, 4, 5, seed=1), "transpose_x": True}),
    Case("matmul", {"x": floats(2, 3, 4), "y": floats(2, 5, 4, seed=1), "transpose_y": True}),
    Case("matmul", {"x": floats(4), "y": floats(2, 4, 5, seed=1)}),
    Case("einsum", {"values": [floats(2, 3, 4, 5), floats(2, 5, 4, 6, seed=1)], "equation": "nchw,nwhu->nchu"}),
    Case("einsum", {"values": [floats(3, 1, 5), floats(5, 4, 6, seed=1)], "equation": "chw,whr->chr"}),
    Case("scaled_dot_product_attention", {"query": Q, "key": K, "value": V}, ios=18),
    Case("scaled_dot_product_attention", {"query": Q, "key": K, "value": V, "attn_mask": floats(4, 6, seed=3)}, ios=18),
    Case(
        "scaled_dot_product_attention",
        {"query": Q, "key": K, "value": V, "attn_mask": np.tri(4, 6, 1, dtype=bool)},
        ios=18,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)
