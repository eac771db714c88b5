from collections.abc import Callable

import pytest
import torch.nn.functional as F
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import arguments
from mobilevit_deploy.rewrites.compatibility import replace_ceil_mode
from mobilevit_deploy.rewrites.compatibility.replace_ceil_mode import POOLS, ReplaceCeilMode
from tests.rewrites.conftest import Apply, Of

NO_EFFECT: dict[str, Callable[[Tensor], Tensor]] = {
    "a window behind the input": lambda x: F.max_pool2d(x, 2, 3, ceil_mode=True),
    "the same for a mean": lambda x: F.avg_pool2d(x, 1, 2, ceil_mode=True, count_include_pad=False),
    "windows that divide": lambda x: F.max_pool2d(x, (2, 3), ceil_mode=True),
    "a window behind the padding": lambda x: F.max_pool2d(x, 2, 3, 1, ceil_mode=True),
    "dilated": lambda x: F.max_pool2d(x, 2, 5, dilation=2, ceil_mode=True),
    "one axis": lambda x: F.avg_pool1d(x.flatten(2)[..., :9], 1, 2, ceil_mode=True),
}


@pytest.mark.parametrize("name", NO_EFFECT)
def test_fires(apply: Apply, name: str) -> None:
    result, rewritten = apply(Of(lambda m, x: NO_EFFECT[name](x)), ReplaceCeilMode(), 2, 3, 8, 9)
    assert len(result.applied) == 1
    assert not any(arguments(node)["ceil_mode"] for node in rewritten.graph.calls(*POOLS))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), ((3, 2), (2, 3))])
def test_refuses_with_a_reason(apply: Apply, kernel: int, stride: int) -> None:
    module = Of(lambda m, x: F.max_pool2d(x, kernel, stride, ceil_mode=True))
    result, _ = apply(module, ReplaceCeilMode(), 2, 3, 8, 9)
    assert result.applied == ()
    assert "beyond the input" in result.refused[0].reason


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    right = replace_ceil_mode.windows

    def blind(node: Node) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        _, ceiling, pads = right(node)
        return ceiling, ceiling, pads

    monkeypatch.setattr(replace_ceil_mode, "windows", blind)
    result, _ = apply(Of(lambda m, x: F.max_pool2d(x, 3, 2, ceil_mode=True)), ReplaceCeilMode(), 2, 3, 8, 9)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
