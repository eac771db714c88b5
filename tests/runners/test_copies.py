"""A copy of a module computes what the module does, whatever was computed before."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mobilevit_deploy.runners.copies import copy_module
from mobilevit_deploy.runners.reference import PerturbedRunner, TorchRunner


class Hooked(nn.Module):
    """Reads what a hook kept."""

    def __init__(self, hook: Callable[["Hooked"], Callable[..., Any]]) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 2, 2), nn.Conv2d(4, 2, 1)
        self.kept: dict[str, Tensor] = {}
        self.stem.register_forward_hook(hook(self))

    def forward(self, x: Tensor) -> Tensor:
        self.stem(x)
        found: Tensor = self.head(self.kept["stem"])
        return found


def keep(kept: dict[str, Tensor], _module: nn.Module, _given: Any, result: Tensor) -> None:
    kept["stem"] = result


def nested(model: Hooked) -> Callable[..., None]:
    def put(result: Tensor) -> None:
        model.kept["stem"] = result

    return lambda _module, _given, result: put(result)


def of_the_dictionary(model: Hooked) -> Callable[..., None]:
    kept = model.kept
    return lambda _module, _given, result: kept.update(stem=result)


HOOKS: dict[str, Callable[[Hooked], Callable[..., Any]]] = {
    "the module": lambda model: lambda _module, _given, result: model.kept.update(stem=result),
    "a function inside": nested,
    "its dictionary": of_the_dictionary,
    "a partial": lambda model: partial(keep, model.kept),
}


@pytest.mark.parametrize("closes_over", HOOKS)
def test_a_hook_of_a_copy_is_its_own(closes_over: str) -> None:
    torch.manual_seed(0)
    model = Hooked(HOOKS[closes_over]).eval()
    copied = copy_module(model)
    first, second = torch.rand(2, 1, 3, 4, 4)
    with torch.no_grad():
        expected = model(first)
        model(second)
        assert torch.equal(copied(first), expected)
        copied(second)
        model(first)
        assert torch.equal(model.kept["stem"], model.stem(first))
    exact, moved = TorchRunner(model, torch.float64), PerturbedRunner(model, 0, 1e-7)
    for runner in (exact, moved):
        (found,) = runner.run(second.numpy())
        assert abs(found - expected.numpy()).max() > 1e-3
        (found,) = runner.run(first.numpy())
        assert abs(found - expected.numpy()).max() < 1e-5


def test_hooks_that_close_over_nothing_are_left() -> None:
    model = Hooked(lambda _: lambda _module, _given, result: None)
    copied = copy_module(model)
    assert isinstance(copied, Hooked)
    (before,), (after,) = model.stem._forward_hooks.values(), copied.stem._forward_hooks.values()
    assert before is after
