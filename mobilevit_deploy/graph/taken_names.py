"""Parts of a model whose names the modules that ``torch.export`` makes have for something else.

::

    class Net(nn.Module):                      class _Inside(nn.Module):
        def __init__(self):              ->        def __init__(self):
            self.code = nn.Conv2d(...)                 self.model = Net()

A captured program becomes an ``fx.GraphModule``, whose ``code`` is text and whose ``graph`` is its calls: a part of
that name at the top of the model is lost, and what reads its weights raises AttributeError (PyTorch 2.13). One level
down there is nothing in its way.
"""

from functools import cache
from typing import Any

from torch import Tensor, fx, nn


@cache
def _taken() -> frozenset[str]:
    of_programs = {"range_constraints", "validate_inputs"}  # what the module of a program has besides
    graph_module = fx.GraphModule(nn.Module(), fx.Graph())
    return frozenset(({*dir(graph_module)} | of_programs) - {*dir(nn.Module())})


class _Inside(nn.Module):
    """A module as the only part of another one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, *inputs: Any) -> Any:
        return self.model(*inputs)


def taken_names(module: nn.Module) -> list[str]:
    """Returns the names at the top of a model that a captured program cannot have there."""
    tensors = [name for name, value in vars(module).items() if isinstance(value, Tensor)]
    own = [*module._modules, *module._parameters, *module._buffers, *tensors]
    return [name for name in own if name in _taken()]


def put_inside(module: nn.Module) -> nn.Module:
    """Returns a module whose only part, ``model``, is the given one, and that computes the same."""
    return _Inside(module)
