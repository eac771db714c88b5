"""What the tests of rewrites share."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.rewrites.rewrite import Rewrite, RewriteResult, Rewritten, rewrite_graph
from tests.conftest import capture_model
from tests.rewrites.sabotage import Sabotaged

Apply = Callable[..., tuple[RewriteResult, Rewritten]]


def apply_to(module: nn.Module, rewrite: Rewrite, *shape: int) -> tuple[RewriteResult, Rewritten]:
    """Rewrites a module for an input shape, with its proof."""
    randomise(module)
    captured = capture_model(module, *shape)
    sample = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    rewritten = rewrite_graph(captured.graph, [rewrite], sample)
    if rewritten.results[0].applied and _is_ours(rewrite):
        expect_sabotage_is_noticed(captured.graph, rewrite, sample)
    return rewritten.results[0], rewritten


@pytest.fixture
def apply() -> Apply:
    """Returns ``apply_to``."""
    return apply_to


_SABOTAGED: set[str] = set()


def _is_ours(rewrite: Rewrite) -> bool:
    """Tells whether a rewrite is one of the package, which no test has changed, and is seen here for the first time."""
    kind = type(rewrite)
    return kind.__module__.startswith("mobilevit_deploy.") and kind.__name__ not in _SABOTAGED


def expect_sabotage_is_noticed(graph: Graph, rewrite: Rewrite, sample: torch.Tensor) -> None:
    """Spoils what a rewrite inserts, once for each rewrite, wherever a test has one that fires."""
    sabotaged = Sabotaged(rewrite)
    (result,) = rewrite_graph(graph, [sabotaged], sample).results
    if sabotaged.spoiled:  # what only removes has nothing to spoil; its own test has a version that removes too much
        assert result.applied == (), f"a thousandth of {sabotaged.spoiled} went unnoticed"
        assert any("not proved" in refused.reason for refused in result.refused)
        _SABOTAGED.add(type(rewrite).__name__)


@pytest.fixture
def spoil_weight(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Returns a function that makes a weight of this name come out a thousandth too large in what rewrites add."""

    def spoil(name: str) -> None:
        add = Graph.add_weight

        def wrong(graph: Graph, given: str, value: torch.Tensor) -> Any:
            return add(graph, given, value * 1.001 if given == name else value)

        monkeypatch.setattr(Graph, "add_weight", wrong)

    return spoil


def randomise(module: nn.Module) -> None:
    """Gives every weight and statistic a value that no wrong fold can hide behind."""
    generator = torch.Generator().manual_seed(2)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            positive = name.endswith("running_var")
            tensor.uniform_(0.5 if positive else -1.0, 1.5 if positive else 1.0, generator=generator)


class Of(nn.Module):
    """A module from a function of its submodules and the input."""

    def __init__(self, function: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


# What neither rewrite of a group norm takes, and what it says.
OTHER_GROUP_NORMS = [
    (nn.GroupNorm(2, 4), "2 groups"),
    (Of(lambda m, x: m.norm(x.flatten(2)), norm=nn.GroupNorm(1, 4)), "no batch of maps"),
    (Of(lambda m, x: nn.functional.group_norm(x, 1, x.mean((0, 2, 3)))), "computed in the graph"),
]
