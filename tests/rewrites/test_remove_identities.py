import torch
from torch import nn

from mobilevit_deploy.rewrites.remove_identities import RemoveIdentities
from tests.rewrites.conftest import Apply, Of


def test_fires(apply: Apply) -> None:
    module = Of(
        lambda m, x: m.drop(x.clone() * 2).contiguous() + m.drop2d(x.detach()), drop=nn.Dropout(), drop2d=nn.Dropout2d()
    )
    result, rewritten = apply(module, RemoveIdentities(), 2, 3, 4, 4)
    assert len(result.applied) >= 4
    assert set(rewritten.graph.histogram()) == {"mul", "add"}
    assert result.max_abs_difference == 0


def test_refuses_active_dropout(apply: Apply) -> None:
    module = Of(lambda m, x: torch.nn.functional.dropout(x, 0.0, training=True) + 1)
    result, rewritten = apply(module, RemoveIdentities(), 1, 3, 4, 4)
    assert result.applied == ()
    assert "training mode" in result.refused[0].reason
    assert "dropout" in rewritten.graph.histogram()


class DropsAFactor(RemoveIdentities):
    """A wrong version: takes a multiplication for an identity."""

    def candidates(self, graph):  # type: ignore[no-untyped-def]
        return graph.calls(torch.ops.aten.mul)


def test_a_wrong_version_is_caught(apply: Apply) -> None:
    result, rewritten = apply(Of(lambda m, x: x * 1.0001), DropsAFactor(), 1, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram() == {"mul": 1}
