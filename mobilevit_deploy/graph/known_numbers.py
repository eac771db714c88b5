"""Numbers that a model's code reads out of its own buffers, such as ``x[:, : int(self.keep)]``.

A trace has no values: to ``torch.export`` (PyTorch 2.13) such a number could be any, and what hangs on it, as a size,
cannot be traced. It is the same for every image, so the code is given the number itself.
"""

import operator
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# How code reads a number, and what it gets of the one that a tensor holds.
READS: Mapping[Any, Callable[[Any], Any]] = {
    Tensor.item: lambda number: number,
    Tensor.__int__: int,
    Tensor.__float__: float,
    Tensor.__bool__: bool,
    Tensor.__index__: operator.index,
}
PARTS = (Tensor.unbind, Tensor.__getitem__)
LARGEST = 4096  # elements of what is kept; code reads a few


class KnownNumbers(TorchFunctionMode):
    """Answers with what a module's small tensors held before the trace where the code asks them for their numbers."""

    def __init__(self, module: nn.Module) -> None:
        """Reads the tensors.

        Args:
            module: in the place of whose tensors a trace puts others, under the same names.
        """
        super().__init__()
        self._module = module
        small = {name: item for name, item in _tensors(module) if item.numel() <= LARGEST}
        self._values = {name: item.tolist() for name, item in small.items() if item.layout is torch.strided}
        self._parts: list[tuple[Tensor, Any]] = []  # of known tensors, with what they hold

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        value = self._value(args[0]) if func in READS or func in PARTS else None
        if func in READS and value is not None:
            while isinstance(value, list) and len(value) == 1:
                value = value[0]
            if not isinstance(value, list):  # of several numbers none can be read
                return READS[func](value)
        result = func(*args, **(kwargs or {}))
        if isinstance(value, list) and func is Tensor.unbind and args[1:] in ((), (0,)):  # as a loop does, and tolist
            self._parts += zip(result, value, strict=True)
        elif isinstance(value, list) and func is Tensor.__getitem__ and isinstance(args[1], int):
            self._parts.append((result, value[args[1]]))
        return result

    def _value(self, tensor: object) -> Any:
        """Returns what a tensor holds, nested lists of numbers; None where that is not known."""
        sizes = tuple(tensor.shape) if isinstance(tensor, Tensor) else ()
        if not all(isinstance(size, int) for size in sizes) or prod(sizes) > LARGEST:
            return None  # a map, which most are: looking for its name would take longer than what is done to it
        name = next((name for name, item in _tensors(self._module) if item is tensor), None)
        part = next((value for item, value in self._parts if item is tensor), None)
        return self._values.get(name, part) if name else part


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_buffers(), *module.named_parameters()]
