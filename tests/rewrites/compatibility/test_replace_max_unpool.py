from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mobilevit_deploy.rewrites.compatibility import replace_max_unpool
from mobilevit_deploy.rewrites.compatibility.replace_max_unpool import ReplaceMaxUnpool
from tests.rewrites.conftest import Apply, Of


def unpooled(factor: int, **pool: Any) -> Of:
    def run(_: nn.Module, x: Tensor) -> Tensor:
        values, places = F.max_pool2d(x.relu(), factor, return_indices=True, **pool)
        return F.max_unpool2d(values + 1, places, [factor, factor], output_size=list(x.shape[-2:]))

    return Of(run)


@given(factor=st.integers(1, 3), height=st.integers(3, 8), width=st.integers(3, 8))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fires(apply: Apply, factor: int, height: int, width: int) -> None:
    result, rewritten = apply(unpooled(factor), ReplaceMaxUnpool(), 2, 3, height, width)
    assert len(result.applied) == 1, result.refused
    ops = rewritten.graph.histogram()
    assert ops["max_pool2d"] == 1
    assert not {"max_unpool2d", "max_pool2d_with_indices"} & set(ops)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (
            Of(lambda m, x: F.max_unpool2d(x, torch.arange(16).view(1, 1, 4, 4).expand(1, 2, 4, 4), [2, 2])),
            "not those of a pool",
        ),
        (Of(lambda m, x: F.max_unpool2d(*F.max_pool2d(x, 3, 1, return_indices=True), [3, 3], [1, 1])), "overlap"),
        (
            Of(lambda m, x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), [2, 2], output_size=[5, 5])),
            "another size",
        ),
    ],
)
def test_refuses_with_a_reason(apply: Apply, module: Of, reason: str) -> None:
    result, _ = apply(module, ReplaceMaxUnpool(), 1, 2, 4, 4)
    assert result.applied == ()
    assert reason in result.refused[0].reason


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    right = replace_max_unpool.aten
    wrong = type("wrong", (), {"__getattr__": lambda self, name: getattr(right, "gt" if name == "ge" else name)})()
    monkeypatch.setattr(replace_max_unpool, "aten", wrong)
    result, _ = apply(unpooled(2), ReplaceMaxUnpool(), 1, 2, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
