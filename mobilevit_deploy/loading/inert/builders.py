"""The calls of a pickle that are made, by our own functions: views of storages, and plain containers."""

from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from mobilevit_deploy.loading.inert.values import Name, PickledTensorError, Placeholder, checked_key

Make = Callable[[object, object], Any]  # makes what another call of the same pickle would return


def _tensor(_: Make, arguments: tuple[Any, ...]) -> Tensor:
    """Makes a view of a storage, as ``torch._utils._rebuild_tensor_v2`` does."""
    storage, offset, size, stride = arguments[:4]
    if not isinstance(storage, torch.storage.TypedStorage | torch.UntypedStorage):
        if isinstance(storage, Placeholder) and storage.name == "torch.storage._load_from_bytes":
            raise PickledTensorError("a tensor's storage is a pickle of its own")
        raise UnpicklingError("a tensor is made of something else than a storage")
    numbers = (offset, *size, *stride)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise UnpicklingError("a tensor has sizes that are no numbers")
    tensor: Tensor = torch._utils._rebuild_tensor(storage, offset, tuple(size), tuple(stride))  # type: ignore[no-untyped-call]
    metadata = arguments[6] if len(arguments) > 6 else None
    if isinstance(metadata, dict):  # of a tensor that is the negative or the conjugate of what is stored
        tensor = torch._neg_view(tensor) if metadata.get("neg") else tensor
        tensor = tensor.conj() if metadata.get("conj") else tensor
    return tensor


def _parameter(_: Make, arguments: tuple[Any, ...]) -> Any:
    """Returns the tensor of a parameter: that it can be trained is nothing to an export."""
    return arguments[0]


def _of_type(make: Make, arguments: tuple[Any, ...]) -> Any:
    """Returns the tensor that an instance of a subclass would have been made of.

    A DTensor that one process holds whole is that process's own tensor; another one is a shard, or a part of a sum.
    """
    function, kind, inner = arguments[:3]
    if not isinstance(function, Name) or function.text != "torch._utils._rebuild_wrapper_subclass":
        return make(function, inner)
    state = arguments[3] if len(arguments) > 3 else None
    parts = state if isinstance(state, tuple) else (state,)  # of a class with slots
    known = next((part for part in parts if isinstance(part, dict)), {})
    local = known.get("_local_tensor")
    whole = isinstance(local, Tensor) and tuple(local.shape) == tuple(inner[2]) and _is_placed(known.get("_spec"))
    return local if whole else make(kind, ())


def _is_placed(spec: object) -> bool:
    """Tells whether a DTensor's values are held as they are; a third kind is a sum that nobody has computed."""
    state = spec.state if isinstance(spec, Placeholder) else None
    placements = state.get("placements") if isinstance(state, dict) else None
    return isinstance(placements, tuple) and all(
        isinstance(item, Placeholder) and item.name.endswith((".Shard", ".Replicate")) for item in placements
    )


def _size(_: Make, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(arguments[0]) if arguments else ()


def _empty(_: Make, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Returns a dictionary, with the pairs that the oldest pickles of an OrderedDict give it at once."""
    pairs = arguments[0] if arguments and isinstance(arguments[0], list) else []
    return {checked_key(key): value for key, value in pairs}


def _encoded(_: Make, arguments: tuple[Any, ...]) -> bytes:
    """Returns the bytes that protocol 2 writes as a text."""
    return str(arguments[0]).encode("latin1", errors="replace")


def _bytes(_: Make, arguments: tuple[Any, ...]) -> Any:
    """Returns no bytes, which is what protocol 2 writes so; more of them it writes otherwise."""
    return Placeholder("builtins.bytes", arguments) if arguments else b""


def _set_of(_: Make, arguments: tuple[Any, ...]) -> set[Any]:
    return set(map(checked_key, arguments[0])) if arguments and isinstance(arguments[0], list | tuple) else set()


BUILDERS: dict[str, Callable[[Make, tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "torch.nn.parameter.Parameter": _parameter,
    "torch.Size": _size,
    "collections.OrderedDict": _empty,
    "collections.defaultdict": _empty,
    "collections.Counter": _empty,
    "builtins.dict": _empty,
    "builtins.set": _set_of,
    "__builtin__.set": _set_of,
    "_codecs.encode": _encoded,
    "builtins.bytes": _bytes,
    "__builtin__.bytes": _bytes,
}
