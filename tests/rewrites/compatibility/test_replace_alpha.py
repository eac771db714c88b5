import pytest
import torch

from mobilevit_deploy.rewrites.compatibility import replace_alpha
from mobilevit_deploy.rewrites.compatibility.replace_alpha import ReplaceAlpha
from tests.rewrites.conftest import Apply, Of

SUMS = {
    "add": Of(lambda m, x: torch.add(x, x.flip(1), alpha=2.5)),
    "sub": Of(lambda m, x: torch.sub(x, x.flip(1), alpha=-0.5)),
    "rsub": Of(lambda m, x: torch.rsub(x, x.flip(1), alpha=2)),
    "add_": Of(lambda m, x: (x * 2).add_(x, alpha=0.25)),
    "number": Of(lambda m, x: torch.add(x, 3, alpha=2.5)),
}


@pytest.mark.parametrize("name", SUMS)
def test_fires(apply: Apply, name: str) -> None:
    result, rewritten = apply(SUMS[name], ReplaceAlpha(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert not any(replace_alpha.has_alpha(node) for node in rewritten.graph.calls(*replace_alpha.SUMS))


def test_leaves_a_plain_sum_alone(apply: Apply) -> None:
    result, rewritten = apply(Of(lambda m, x: x + x.flip(1) - 1), ReplaceAlpha(), 2, 3, 4, 4)
    assert (result.applied, result.refused) == ((), ())
    assert rewritten.graph.histogram() == {"flip": 1, "add": 1, "sub": 1}


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replace_alpha, "is_call", lambda node, *ops: False)  # scales the wrong operand of rsub
    result, _ = apply(SUMS["rsub"], ReplaceAlpha(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
