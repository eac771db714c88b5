"""From what code returns to a plain module: wrappers taken off, and outputs that are tensors only."""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree

from mobilevit_deploy.errors import UsageError

# What a graph has no output for, and no app misses.
LEFT_OUT = (bool, int, float, str, bytes, type(None))


def unwrap(module: nn.Module) -> nn.Module:
    """Takes off ``DataParallel`` and ``torch.compile``, of the model and of its parts; neither changes a result.

    Parts keep their names, so that a checkpoint of the model fits as before.
    """
    while (inner := _wrapped(module)) is not None:
        module = inner
    if isinstance(module, torch.jit.ScriptModule):
        return module
    module._compiled_call_impl = None  # what module.compile() sets
    for name, part in module.named_children():
        plain = unwrap(part)
        if plain is not part:
            setattr(module, name, plain)
    return module


def _wrapped(module: nn.Module) -> nn.Module | None:
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner: nn.Module = module.module
        return inner
    compiled = getattr(module, "_orig_mod", None)  # of torch.compile, which importing its class would load
    return compiled if isinstance(compiled, nn.Module) else None


def to_evaluation(module: nn.Module) -> nn.Module:
    """Returns a module in evaluation mode; that of a captured program is in the mode that it was captured in."""
    try:
        return module.eval()
    except NotImplementedError:  # of torch.export.load(...).module()
        return module


def runs(module: nn.Module, shape: Sequence[int]) -> bool:
    """Tells whether a module runs on an image of zeros of a shape."""
    try:
        with torch.no_grad():
            module(torch.zeros(*shape))
    except Exception:  # of the user's code, which was written for something else
        return False
    return True


def give_shapes(module: nn.Module, shape: Sequence[int]) -> None:
    """Runs a module once whose layers, such as ``nn.LazyLinear``, have no shapes before they are."""
    if any(map(is_lazy, module.parameters())):
        runs(module, shape)


def is_channels_last(module: nn.Module, shape: tuple[int, int, int, int]) -> bool:
    """Tells whether a module is written for (N, H, W, C): it runs on that, or on (N, C, H, W), ``shape``, neither."""
    batch, channels, height, width = shape
    return runs(module, (batch, height, width, channels)) or not runs(module, shape)


def take_channels_first(module: nn.Module) -> None:
    """Lets a module that takes (N, H, W, C) take (N, C, H, W), as everything here does; its artifact turns it back.

    Raises:
        UsageError: it is a TorchScript module, whose converter sees no hook.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError("--layout nhwc for a TorchScript module", "give the plain Python module")
    module.register_forward_pre_hook(_to_channels_last)


def _to_channels_last(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (inputs[0].permute(0, 2, 3, 1).contiguous(), *inputs[1:])


def take_by_name(module: nn.Module, names: Sequence[str]) -> None:
    """Lets a module take its inputs in this order, each as the argument of ``forward`` that has its name.

    One whose ``forward`` names no arguments, and one of TorchScript, takes them by position already.

    Raises:
        UsageError: ``forward`` has no such argument, or needs another one.
    """
    known = _parameters(module)
    if isinstance(module, torch.jit.ScriptModule) or any(item.kind is item.VAR_POSITIONAL for item in known):
        return
    wrong = [name for name in names if not any(_takes(item, name) for item in known)]
    if wrong:
        raise UsageError(
            f"--input {wrong[0]}, but forward takes {', '.join(item.name for item in known) or 'nothing'}",
            "give inputs the names of forward's arguments",
        )
    required = [item.name for item in known if item.default is item.empty and item.kind is not item.VAR_KEYWORD]
    missing = [name for name in required if name not in names]
    if missing:
        raise UsageError(
            f"forward needs {', '.join(required)}, and there is no --input {missing[0]}",
            f"add --input {missing[0]}=SIZES:TYPE, or give a module that holds it as a buffer",
        )
    if any(item.kind is item.POSITIONAL_ONLY for item in known):
        raise UsageError("--input for a forward whose arguments have no names (/)", "take the / out of its signature")
    written = getattr(module.forward, "__func__", None)
    if written is None:
        raise UsageError("--input for a forward that is no method of its module", "write it as one")

    def forward(self: nn.Module, *inputs: Tensor) -> object:
        return written(self, **dict(zip(names, inputs, strict=True)))

    module.forward = MethodType(forward, module)  # a method: a copy of the module has one that is bound to the copy


def arguments_of(module: nn.Module) -> tuple[str, ...]:
    """Returns the names of what ``forward`` takes; those that it needs only, where it needs more than one."""
    named = [item for item in _parameters(module) if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)]
    needed = tuple(item.name for item in named if item.default is item.empty)
    return needed if len(needed) > 1 else tuple(item.name for item in named)


def _parameters(module: nn.Module) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):  # of a method that is none of Python's
        return []


def _takes(parameter: inspect.Parameter, name: str) -> bool:
    return parameter.kind is parameter.VAR_KEYWORD or parameter.name == name


class TensorOutputs:
    """A forward hook that leaves out what is no tensor, and gives the fields of any dataclass as a dictionary.

    Attributes:
        left_out: what the last run left out, such as ``loss, which is None``.
    """

    def __init__(self) -> None:
        self.left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, module: nn.Module) -> "TensorOutputs":
        """Adds it to a module and returns it; to one of TorchScript, which has its own types, it adds nothing."""
        hook = cls()
        if not isinstance(module, torch.jit.ScriptModule):
            module.register_forward_hook(hook)
        return hook

    def __call__(self, _module: nn.Module, _inputs: object, outputs: object) -> object:
        """Returns the tensors with their names; None, which changes nothing, where there is nothing to leave out."""
        leaves = pytree.tree_leaves(outputs)
        if all(isinstance(leaf, Tensor) for leaf in leaves):
            return None
        left_out: list[str] = []
        kept = _tensors(outputs, "", left_out)
        if not pytree.tree_leaves(kept):  # no tensor at all is for capturing to say
            return None
        self.left_out = tuple(left_out)
        return kept


def _tensors(value: object, path: str, left_out: list[str]) -> Any:
    """Returns nested tuples and dictionaries of tensors, and of what nobody knows, which capturing refuses."""
    if isinstance(value, LEFT_OUT):
        left_out.append(f"{path or 'the output'}, which is {value if value is None else type(value).__name__}")
        return ()
    named = dict(_fields(value))
    if named:
        kept = {key: _tensors(item, f"{path}.{key}" if path else key, left_out) for key, item in named.items()}
        return {key: item for key, item in kept.items() if not _is_empty(item)}
    if isinstance(value, list | tuple):
        items = [_tensors(item, f"{path}[{i}]" if path else f"output {i}", left_out) for i, item in enumerate(value)]
        return tuple(item for item in items if not _is_empty(item))
    return value


def _fields(value: object) -> Iterator[tuple[str, object]]:
    """Yields what a dictionary, a named tuple or a dataclass holds, with its names."""
    if isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in value.items())
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from zip(value._fields, value, strict=True)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))


def _is_empty(value: object) -> bool:
    return isinstance(value, tuple | dict) and not value
