import pytest

from mobilevit_deploy.rewrites.compatibility import replace_reciprocal
from mobilevit_deploy.rewrites.compatibility.replace_reciprocal import ReplaceReciprocal
from tests.rewrites.conftest import Apply, Of

FORMS = {
    "reciprocal": (Of(lambda m, x: 2 / (x.abs() + 0.1)), {"abs": 1, "add": 1, "div": 1, "mul": 1}),
    "rsqrt": (Of(lambda m, x: (x.abs() + 0.1).rsqrt()), {"abs": 1, "add": 1, "sqrt": 1, "div": 1}),
    "of a number": (Of(lambda m, x: x * x.abs().mean().rsqrt()), {"abs": 1, "mean": 1, "sqrt": 1, "div": 1, "mul": 1}),
}


@pytest.mark.parametrize("name", FORMS)
def test_fires(apply: Apply, name: str) -> None:
    module, histogram = FORMS[name]
    result, rewritten = apply(module, ReplaceReciprocal(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == histogram


def test_refuses_with_a_reason(apply: Apply) -> None:
    result, _ = apply(Of(lambda m, x: (x.argmax(1) + 1).reciprocal()), ReplaceReciprocal(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "integers" in result.refused[0].reason


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replace_reciprocal, "is_call", lambda node, *ops: False)  # forgets the root
    result, _ = apply(FORMS["rsqrt"][0], ReplaceReciprocal(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
