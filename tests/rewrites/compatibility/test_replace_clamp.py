import pytest
from torch.fx import Node

from mobilevit_deploy.graph.graph import arguments
from mobilevit_deploy.rewrites.compatibility import replace_clamp
from mobilevit_deploy.rewrites.compatibility.replace_clamp import ReplaceClamp
from tests.rewrites.conftest import Apply, Of

CROSSED = Of(lambda m, x: x.clamp(x.flip(1), x.flip(2)))  # half of the lower bounds are above the upper ones


def test_fires(apply: Apply) -> None:
    result, rewritten = apply(CROSSED, ReplaceClamp(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"flip": 2, "maximum": 1, "minimum": 1}


@pytest.mark.parametrize("module", [Of(lambda m, x: x.clamp(-1, 1)), Of(lambda m, x: x.clamp(min=x.flip(1)))])
def test_leaves_other_bounds_alone(apply: Apply, module: Of) -> None:
    result, rewritten = apply(module, ReplaceClamp(), 2, 3, 4, 4)
    assert (result.applied, result.refused) == ((), ())
    assert rewritten.graph.histogram()["clamp"] == 1


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    def crossed(node: Node) -> dict[str, object]:
        given = arguments(node)
        return given | {"min": given["max"], "max": given["min"]}

    monkeypatch.setattr(replace_clamp, "arguments", crossed)
    result, _ = apply(CROSSED, ReplaceClamp(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
