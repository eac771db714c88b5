import pytest
import torch
from torch.fx import Node

from mobilevit_deploy.rewrites.compatibility import replace_variance
from mobilevit_deploy.rewrites.compatibility.replace_variance import ReplaceVariance
from tests.rewrites.conftest import Apply, Of

OPEN = {
    "all": Of(lambda m, x: x * x.var()),
    "deviation of all": Of(lambda m, x: x * x.std()),
    "axes": Of(lambda m, x: x / torch.ops.aten.std.correction(x, [1, 2], keepdim=True)),
}
GIVEN = {
    "unbiased": Of(lambda m, x: x.var(2, unbiased=True)),
    "biased": Of(lambda m, x: x.std(unbiased=False)),
    "correction": Of(lambda m, x: x.var((1, 2), correction=2)),
}


@pytest.mark.parametrize("name", OPEN)
def test_fires(apply: Apply, name: str) -> None:
    result, rewritten = apply(OPEN[name], ReplaceVariance(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert not any(map(replace_variance.leaves_correction_open, rewritten.graph.calls(*replace_variance.OPS)))


@pytest.mark.parametrize("name", GIVEN)
def test_leaves_a_given_correction_alone(apply: Apply, name: str) -> None:
    result, _ = apply(GIVEN[name], ReplaceVariance(), 2, 3, 4, 4)
    assert (result.applied, result.refused) == ((), ())


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_axes(_: Node) -> tuple[int, ...]:
        return (1, 2, 3)  # without the first

    monkeypatch.setattr(replace_variance, "shape", other_axes)
    result, _ = apply(OPEN["all"], ReplaceVariance(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
