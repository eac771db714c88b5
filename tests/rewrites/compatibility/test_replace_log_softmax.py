import pytest
import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import arguments
from mobilevit_deploy.rewrites.compatibility import replace_log_softmax
from mobilevit_deploy.rewrites.compatibility.replace_log_softmax import ReplaceLogSoftmax
from tests.rewrites.conftest import Apply, Of

WIDE = Of(lambda m, x: (x * 300).log_softmax(2))  # beyond what exp holds


def test_fires(apply: Apply) -> None:
    result, rewritten = apply(WIDE, ReplaceLogSoftmax(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"sub": 2, "mul": 1, "amax": 1, "exp": 1, "sum": 1, "log": 1}


def test_refuses_with_a_reason(apply: Apply) -> None:
    result, _ = apply(Of(lambda m, x: x.long().log_softmax(1, dtype=torch.float32)), ReplaceLogSoftmax(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "another number type" in result.refused[0].reason


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_axis(node: Node) -> dict[str, object]:
        return arguments(node) | {"dim": 1}

    monkeypatch.setattr(replace_log_softmax, "arguments", other_axis)
    result, _ = apply(WIDE, ReplaceLogSoftmax(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
