"""How a MIL op finds the function that computes it, and how the op's arguments become that function's.

A handler's parameters carry MIL's own names, and its annotations say how each argument is read: ``Tensor`` as it is,
``list[Tensor]`` always as a list though MIL writes a list of one like a single value, ``int``, ``float``, ``bool``
and ``str`` as Python values, ``list[int]`` and ``list[bool]`` flattened. Defaults are MIL's.
"""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.program import LARGEST_TENSOR
from mobilevit_deploy.targets.coreml.mil.values import State, Value

Results = Value | tuple[Value, ...]
Decorated = typing.TypeVar("Decorated", bound=Callable[..., Any])
Reader = Callable[[Sequence[Value]], Any]


@dataclass(frozen=True)
class Handler:
    """What computes an op.

    Attributes:
        function: takes the op's parameters by name and returns its result or a tuple of them.
        readers: what turns the arguments of each parameter into the function's.
        required: parameters without a default.
        rounds: False for an op that only moves, selects or compares values, so that no result needs rounding.
    """

    function: Callable[..., Results]
    readers: Mapping[str, Reader]
    required: frozenset[str]
    rounds: bool


def check_count(count: int) -> None:
    """Raises ValueError for a result of so many values that it would fill the memory; before it is computed."""
    if count > LARGEST_TENSOR // 4:
        raise ValueError(f"a result of {count:,} values")


HANDLERS: dict[str, Handler] = {}


def operation(name: str | None = None, *, rounds: bool = True) -> Callable[[Decorated], Decorated]:
    """Registers a handler under its MIL name, which is the function's own unless that is a word of Python."""

    def register(function: Decorated) -> Decorated:
        key = name or function.__name__
        if key in HANDLERS:
            raise ValueError(f"two handlers for {key}")
        HANDLERS[key] = _make_handler(function, rounds)
        return function

    return register


def _make_handler(function: Callable[..., Any], rounds: bool) -> Handler:
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    return Handler(
        function=function,
        readers={name: _READERS[_without_none(hints[name])] for name in parameters},
        required=frozenset(name for name, p in parameters.items() if p.default is inspect.Parameter.empty),
        rounds=rounds,
    )


def _without_none(hint: Any) -> Any:
    """Returns ``T`` for ``T | None``: an argument that is not given is not read."""
    if isinstance(hint, types.UnionType):
        (hint,) = (member for member in typing.get_args(hint) if member is not types.NoneType)
    return hint


def _one(values: Sequence[Value]) -> Value:
    if len(values) != 1:
        raise ValueError(f"one value expected, and there are {len(values)}")
    return values[0]


def _tensor(values: Sequence[Value]) -> Tensor:
    value = _one(values)
    if not isinstance(value, Tensor):
        raise ValueError("a tensor expected")
    return value


def _tensors(values: Sequence[Value]) -> list[Tensor]:
    return [_tensor([value]) for value in values]


def _text(values: Sequence[Value]) -> str:
    value = _one(values)
    if not isinstance(value, str):
        raise ValueError("a string expected")
    return value


def _labels(values: Sequence[Value]) -> tuple[str | int, ...]:
    value = _one(values)
    if isinstance(value, tuple):
        return value
    return tuple(int(label) for label in _tensor([value]).tolist())


def _state(values: Sequence[Value]) -> State:
    value = _one(values)
    if not isinstance(value, State):
        raise ValueError("a state expected")
    return value


def _flat(values: Sequence[Value]) -> list[Any]:
    return [number for value in values for number in _tensor([value]).flatten().tolist()]


_READERS: Mapping[Any, Reader] = {
    Tensor: _tensor,
    list[Tensor]: _tensors,
    str: _text,
    int: lambda values: int(_tensor(values).item()),
    float: lambda values: float(_tensor(values).item()),
    bool: lambda values: bool(_tensor(values).item()),
    list[int]: lambda values: [int(number) for number in _flat(values)],
    list[bool]: lambda values: [bool(flag) for flag in _flat(values)],
    tuple[str | int, ...]: _labels,
    State: _state,
}
