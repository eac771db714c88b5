"""Copies of modules whose hooks are the copy's own."""

import copy
from types import CellType, FunctionType
from typing import Any

from torch import nn


def copy_module(module: nn.Module) -> nn.Module:
    """Returns a copy that shares nothing with the module.

    ``copy.deepcopy`` leaves functions as they are. A hook that closes over its module, as fastai's DynamicUnet has
    them, would keep what it finds in the original, and the copy would read what that was given last.
    """
    known: dict[int, Any] = {}
    copied = copy.deepcopy(module, known)
    for part in copied.modules():
        for name, value in vars(part).items():
            if isinstance(value, FunctionType):
                vars(part)[name] = _with_copies(value, known)
            elif isinstance(value, dict):  # of hooks, among others
                value.update({key: _with_copies(item, known) for key, item in value.items()})
    return copied


def _with_copies(value: Any, known: dict[int, Any]) -> Any:
    """Returns a function that closes over the copies of what it closes over; what is no such function, as it is."""
    if not isinstance(value, FunctionType) or not value.__closure__:
        return value
    try:
        contents = [cell.cell_contents for cell in value.__closure__]
    except ValueError:  # a cell that is empty yet
        return value
    found = [known[id(item)] if id(item) in known else _with_copies(item, known) for item in contents]
    if all(new is old for new, old in zip(found, contents, strict=True)):
        return value
    cells = tuple(CellType(item) for item in found)
    made = FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, cells)
    made.__kwdefaults__ = value.__kwdefaults__
    made.__dict__.update(value.__dict__)
    return made
