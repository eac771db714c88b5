"""What a kind of corruption is, and the list of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tests.support.mutations.program import Program


@dataclass(frozen=True)
class Edit:
    """One corruption that a program admits.

    Attributes:
        place: what it is done to; of one kind no two have the same.
        apply: does it. The random generator chooses what the place leaves open, such as a channel.
    """

    place: str
    apply: Callable[[np.random.Generator], None]


Kind = Callable[[Program], Iterator[Edit]]
KINDS: dict[str, Kind] = {}


def kind(name: str) -> Callable[[Kind], Kind]:
    """Registers a kind under the name that tables give it."""

    def register(function: Kind) -> Kind:
        KINDS[name] = function
        return function

    return register
