import pytest
from torch import nn
from torch.fx import Node

from mobilevit_deploy.graph.graph import arguments
from mobilevit_deploy.rewrites.compatibility import replace_instance_norm
from mobilevit_deploy.rewrites.compatibility.replace_instance_norm import ReplaceInstanceNorm
from tests.rewrites.conftest import Apply


@pytest.mark.parametrize("affine", [True, False])
def test_fires(apply: Apply, affine: bool) -> None:
    norm = nn.InstanceNorm2d(3, eps=1e-3, affine=affine, track_running_stats=True)
    result, rewritten = apply(norm, ReplaceInstanceNorm(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"batch_norm": 1}


def test_leaves_the_images_own_statistics_alone(apply: Apply) -> None:
    result, rewritten = apply(nn.InstanceNorm2d(3, affine=True), ReplaceInstanceNorm(), 2, 3, 4, 4)
    assert (result.applied, result.refused) == ((), ())
    assert rewritten.graph.histogram() == {"instance_norm": 1}


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_epsilon(node: Node) -> dict[str, object]:
        return arguments(node) | {"eps": 1e-5 * (1 + 1e-4)}

    monkeypatch.setattr(replace_instance_norm, "arguments", other_epsilon)
    result, _ = apply(nn.InstanceNorm2d(3, track_running_stats=True), ReplaceInstanceNorm(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
