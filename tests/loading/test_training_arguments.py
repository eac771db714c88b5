"""The size that a checkpoint says it was trained for; the file is another's, so anything may stand there."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.loading.inert.values import Placeholder
from mobilevit_deploy.loading.training_arguments import trained_size

NAMESPACE = "argparse.Namespace"


@pytest.mark.parametrize(
    ("told", "size"),
    [
        ({"input_size": 64}, (64, 64)),
        ({"input_size": [3, 96, 64]}, (96, 64)),
        ({"input_size": None, "img_size": 384}, (384, 384)),
        ({"img_size": (192,)}, (192, 192)),
        (Placeholder(NAMESPACE, state={"input_size": 64}), (64, 64)),
        (Placeholder(NAMESPACE), None),
        ({"input_size": True}, None),
        ({"input_size": 64.5}, None),
        ({"input_size": "64"}, None),
        ({"input_size": 0}, None),
        ({"input_size": 10**9}, None),
        ({"input_size": []}, None),
        ("--input_size 64", None),
        (None, None),
    ],
)
def test_sizes(told: Any, size: tuple[int, int] | None) -> None:
    assert trained_size({"args": told}) == size


anything = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=6)


@given(st.dictionaries(st.sampled_from(["input_size", "img_size"]), anything))
def test_whatever_stands_there(told: dict[str, Any]) -> None:
    size = trained_size({"args": told})
    assert size is None or all(0 < side <= 4096 for side in size)
