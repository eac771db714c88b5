"""What stands for a class, a function or an object of a pickle, and which keys a dictionary may have."""

from dataclasses import dataclass, field
from pickle import UnpicklingError
from typing import Any

import torch

LARGEST_KEY = 32  # values in a tuple or a set that is a key of a dictionary


class PickledTensorError(UnpicklingError):
    """A tensor whose values are another pickle inside this one, as Python's own ``pickle.dump`` writes them."""


@dataclass(eq=False)
class Name:
    """The name of a class or function in a pickle; nothing is imported, and nothing can be called."""

    text: str


@dataclass(eq=False)
class Placeholder:
    """An object that was not built.

    Attributes:
        name: of its class, or of the function that would have made it.
        arguments: that would have made it, as data.
        state: what would have been given to it, as data.
        items: what would have been appended to it.
        entries: what would have been set in it, such as those of a subclass of a dictionary.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)
    entries: dict[Any, Any] = field(default_factory=dict)


def checked_key(key: object) -> Any:
    """Returns a key whose hash takes no time; raises UnpicklingError for one that may take long, or has none."""
    if isinstance(key, tuple | frozenset):
        if len(key) > LARGEST_KEY or any(isinstance(item, tuple | frozenset) for item in key):
            raise UnpicklingError("the pickle has a key that is nested")
        for item in key:
            checked_key(item)
    elif not isinstance(key, str | bytes | int | float | bool | None | Placeholder | Name | torch.dtype):
        raise UnpicklingError(f"the pickle has a {type(key).__name__} for a key")
    return key
