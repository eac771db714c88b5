import pytest
import torch
from torch import nn

from mobilevit_deploy.rewrites.activation import replace_rrelu
from mobilevit_deploy.rewrites.activation.replace_rrelu import ReplaceRrelu
from tests.rewrites.conftest import Apply, Of


@pytest.mark.parametrize("layer", [nn.RReLU(), nn.RReLU(0.1, 0.7), nn.RReLU(inplace=True)])
def test_fires(apply: Apply, layer: nn.Module) -> None:
    result, rewritten = apply(Of(lambda m, x: m.layer(x * 1), layer=layer), ReplaceRrelu(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"mul": 1, "leaky_relu": 1}


def test_refuses_a_random_slope(apply: Apply) -> None:
    noise = Of(lambda m, x: nn.functional.rrelu(x, training=True).sign())
    result, _ = apply(noise, ReplaceRrelu(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "random" in result.refused[0].reason


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    def lower_alone(node: torch.fx.Node) -> dict[str, object]:
        return {"self": node.args[0], "lower": 1 / 8, "upper": 1 / 8, "training": False}

    monkeypatch.setattr(replace_rrelu, "arguments", lower_alone)
    result, _ = apply(nn.RReLU(), ReplaceRrelu(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
