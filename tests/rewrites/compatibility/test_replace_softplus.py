import pytest
import torch.nn.functional as F
from torch.fx import Node

from mobilevit_deploy.graph.graph import arguments
from mobilevit_deploy.rewrites.compatibility import replace_softplus
from mobilevit_deploy.rewrites.compatibility.replace_softplus import ReplaceSoftplus
from tests.rewrites.conftest import Apply, Of

LOW = Of(lambda m, x: F.softplus(x, beta=2.0, threshold=1.5))


def test_fires(apply: Apply) -> None:
    result, rewritten = apply(LOW, ReplaceSoftplus(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"mul": 1, "gt": 1, "softplus": 1, "where": 1}


@pytest.mark.parametrize("threshold", [17.0, 20.0, 40.0])
def test_leaves_a_threshold_alone_that_makes_no_difference(apply: Apply, threshold: float) -> None:
    result, rewritten = apply(Of(lambda m, x: F.softplus(x, 3.0, threshold)), ReplaceSoftplus(), 2, 3, 4, 4)
    assert (result.applied, result.refused) == ((), ())
    assert rewritten.graph.histogram() == {"softplus": 1}


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_beta(node: Node) -> dict[str, object]:
        return arguments(node) | {"beta": 1.0}

    monkeypatch.setattr(replace_softplus, "arguments", without_beta)
    result, _ = apply(LOW, ReplaceSoftplus(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
