"""Ops on two tensors that broadcast as in numpy, and ``select`` between two.

Source: coremltools' ``mil/ops/defs/iOS15/elementwise_binary.py``; ``select`` in ``control_flow.py``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation


def _register(name: str, function: Callable[[Tensor, Tensor], Tensor], rounds: bool = True) -> None:
    def handler(x: Tensor, y: Tensor) -> Tensor:
        return function(x, y)

    operation(name, rounds=rounds)(handler)


_ARITHMETIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "floor_div": torch.floor_divide,
    "mod": torch.remainder,
    "mul": torch.mul,
    "pow": torch.pow,
    "real_div": torch.true_divide,
    "sub": torch.sub,
}
_SELECTION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "equal": torch.eq,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "not_equal": torch.ne,
}

for _name, _function in _ARITHMETIC.items():
    _register(_name, _function)
for _name, _function in _SELECTION.items():
    _register(_name, _function, rounds=False)


@operation(rounds=False)
def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``a`` where the condition holds, else ``b``."""
    return torch.where(cond.bool(), a, b)
