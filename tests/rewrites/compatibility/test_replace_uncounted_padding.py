from collections.abc import Callable

import pytest
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mobilevit_deploy.graph.graph import arguments
from mobilevit_deploy.rewrites.compatibility.replace_uncounted_padding import ReplaceUncountedPadding, aten
from mobilevit_deploy.rewrites.proof import PROOF_LIMIT
from tests.rewrites.conftest import Apply, Of, apply_to

REFUSED: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "ceil mode": ("beyond the padding", lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)),
    "a divisor": (
        "a number of its own",
        lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False, divisor_override=5),
    ),
}


@settings(max_examples=12)
@given(window=st.tuples(st.integers(2, 5), st.integers(2, 5)), stride=st.integers(1, 3), side=st.integers(5, 9))
def test_fires(window: tuple[int, int], stride: int, side: int) -> None:
    padding = (window[0] // 2, window[1] // 2)
    pool = Of(lambda m, x: F.avg_pool2d(x, window, stride, padding, count_include_pad=False))
    result, rewritten = apply_to(pool, ReplaceUncountedPadding(), 2, 3, side, 7)
    assert len(result.applied) == 1
    assert result.max_rel_difference is not None
    assert result.max_rel_difference <= PROOF_LIMIT
    assert all(arguments(node)["count_include_pad"] for node in rewritten.graph.calls(aten.avg_pool2d))


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_with_a_reason(apply: Apply, case: str) -> None:
    reason, function = REFUSED[case]
    result, _ = apply(Of(lambda m, x: function(x)), ReplaceUncountedPadding(), 2, 3, 8, 8)
    assert result.applied == ()
    assert reason in result.refused[0].reason


@pytest.mark.parametrize(("padding", "counted"), [(0, False), (1, True)])
def test_other_pools_are_no_candidates(apply: Apply, padding: int, counted: bool) -> None:
    pool = Of(lambda m, x: F.avg_pool2d(x, 3, 1, padding, count_include_pad=counted))
    result, _ = apply(pool, ReplaceUncountedPadding(), 2, 3, 8, 8)
    assert (result.applied, result.refused) == ((), ())


def test_a_wrong_version_is_caught(apply: Apply, spoil_weight: Callable[[str], None]) -> None:
    spoil_weight("places_over_counted")
    pool = Of(lambda m, x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False))
    result, _ = apply(pool, ReplaceUncountedPadding(), 2, 3, 8, 8)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
