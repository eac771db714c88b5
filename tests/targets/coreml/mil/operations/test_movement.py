import numpy as np
import pytest
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.data_types import AnyArray
from mobilevit_deploy.targets.coreml.mil.program import TensorType
from tests.targets.coreml.mil.single import Case, check, compute, data_type, floats

X = floats(2, 3, 4)
ONES = floats(2, 1, 4, 1)
IMAGE = np.arange(2 * 8 * 4 * 6, dtype=np.float32).reshape(2, 8, 4, 6)
# TensorFlow's own examples, (N, H, W, C), from the documentation of tf.nn.depth_to_space.
DEPTH = np.arange(1, 17, dtype=np.float32).reshape(1, 2, 2, 4).transpose(0, 3, 1, 2)
SPACE = np.array([[1, 2, 5, 6], [3, 4, 7, 8], [9, 10, 13, 14], [11, 12, 15, 16]], np.float32)[None, None]
# And from tf.space_to_batch.
WHOLE = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
BATCH = np.array([[[1, 3], [9, 11]], [[2, 4], [10, 12]], [[5, 7], [13, 15]], [[6, 8], [14, 16]]], np.float32)[:, None]

CASES = [
    Case("reshape", {"x": X, "shape": [4, 6]}),
    Case("reshape", {"x": X, "shape": [0, -1, 2]}),
    Case(
        "reshape_like",
        {
            "x": X,
            "ref_tensors": [floats(6, 5), floats(9, 2, 2)],
            "begins": [0, 1],
            "ends": [1, 0],
            "end_masks": [False, True],
        },
        lambda x, **_: x.reshape(6, 2, 2),
    ),
    Case("expand_dims", {"x": X, "axes": [0, 2, -1]}),
    Case("squeeze", {"x": ONES, "axes": [3]}),
    Case("squeeze", {"x": ONES}),
    Case("squeeze", {"x": ONES, "axes": [0, -1]}, lambda x, axes: x[..., 0]),
    Case("flatten2d", {"x": X}),
    Case("flatten2d", {"x": X, "axis": -1}),
    Case("transpose", {"x": X, "perm": [2, 0, -2]}),
    Case("concat", {"values": [X, floats(2, 1, 4)], "axis": 1}),
    Case("concat", {"values": [X], "axis": -1}),
    Case(
        "concat",
        {"values": [X, -X], "axis": 1, "interleave": True},
        lambda values, **_: np.stack(values, 2).reshape(2, 6, 4),
    ),
    Case("stack", {"values": [X, -X], "axis": 1}),
    Case("split", {"x": X, "axis": 2, "num_splits": 2}),
    Case("split", {"x": X, "axis": 1, "split_sizes": [1, 2]}),
    Case("tile", {"x": X, "reps": [1, 2, 3]}),
    Case("reverse", {"x": X, "axes": [0, 2]}),
    Case("reverse", {"x": X}),
    Case("pad", {"x": X, "pad": [1, 2]}),
    Case("pad", {"x": X, "pad": [0, 1, 2, 0], "constant_val": 1.5}),
    Case("pad", {"x": X, "pad": [1, 0, 2, 1, 0, 3], "mode": "constant"}),
    Case("pad", {"x": X, "pad": [1, 2, 3, 0], "mode": "reflect"}),
    Case("pad", {"x": X, "pad": [1, 2, 3, 0], "mode": "replicate"}),
    Case("pixel_shuffle", {"x": IMAGE, "upscale_factor": 2}, lambda x, **_: F.pixel_shuffle(x, 2)),
    Case("pixel_unshuffle", {"x": IMAGE, "downscale_factor": 2}, lambda x, **_: F.pixel_unshuffle(x, 2)),
    Case("depth_to_space", {"x": DEPTH, "block_size": 2}, lambda x, block_size: SPACE),
    Case("space_to_depth", {"x": SPACE, "block_size": 2}, lambda x, block_size: DEPTH),
    Case("space_to_batch", {"x": WHOLE, "block_shape": [2, 2], "paddings": [0] * 4}, lambda **_: BATCH),
    Case(
        "space_to_batch",
        {"x": WHOLE, "block_shape": [1, 3], "paddings": [0, 0, 1, 1]},
        lambda x, **_: F.pad(x, (1, 1)).reshape(1, 1, 4, 2, 3).movedim(4, 0).flatten(0, 1),
    ),
    Case("batch_to_space", {"x": BATCH, "block_shape": [2, 2], "crops": [0] * 4}, lambda **_: WHOLE),
    Case(
        "batch_to_space",
        {"x": BATCH, "block_shape": [2, 2], "crops": [1, 0, 0, 2]},
        lambda **_: WHOLE[:, :, 1:, :2],
    ),
    Case("sliding_windows", {"x": X, "axis": 1, "size": 2}, lambda x, **_: np.stack([x[:, :2], x[:, 1:]], 1)),
    Case(
        "sliding_windows",
        {"x": X, "axis": -1, "size": 2, "stride": 2},
        lambda x, **_: np.stack([x[..., :2], x[..., 2:]], 2),
    ),
    Case("band_part", {"x": floats(5, 6), "lower": 1, "upper": 2}),
    Case("band_part", {"x": floats(5, 6), "lower": 0}),
    Case("band_part", {"x": floats(5, 6), "upper": 0}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(2, 5), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=4),
    st.integers(0, 3),
    st.sampled_from(["constant", "reflect", "replicate"]),
)
def test_any_pad(axes: list[tuple[int, int, int]], left_out: int, mode: str) -> None:
    """As numpy pads; the first axes may be left out."""
    padded = axes[min(left_out, len(axes) - 1) :]
    x = floats(*(size for size, _, _ in axes))
    pairs = [(0, 0)] * (len(axes) - len(padded)) + [(min(b, s - 1), min(a, s - 1)) for s, b, a in padded]
    expected: AnyArray = np.pad(x, pairs, {"replicate": "edge"}.get(mode, mode))  # type: ignore[call-overload]
    inputs = {"x": x, "pad": np.array(pairs[-len(padded) :]).flatten(), "mode": mode}
    (found,) = compute("pad", inputs, [TensorType(data_type("fp32"), expected.shape)])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("op", "inputs", "reason"),
    [
        ("reshape", {"x": X, "shape": [0, 12]}, "copies a size by a 0"),
        ("reshape", {"x": X, "shape": [5, 5]}, "invalid for input of size 24"),
        ("pad", {"x": X, "pad": [1, 1], "mode": "wrap"}, "unknown mode wrap"),
        ("pad", {"x": X, "pad": [4, 4], "mode": "reflect"}, "4 values cannot be reflected"),
        ("split", {"x": X, "axis": 1, "num_splits": 2}, "3 values do not split into 2"),
    ],
)
def test_refuses(op: str, inputs: dict[str, object], reason: str) -> None:
    with pytest.raises(ArtifactError, match=reason):
        compute(op, inputs, [TensorType(data_type("fp32"), None)])
