"""What a user may write in place of an operation that is refused: a table, ``alternatives.toml``."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

TABLE = Path(__file__).with_name("alternatives.toml")
WAYS = 2  # that a message names: the nearest


@dataclass(frozen=True)
class Alternative:
    """Operations, and what to write in their place.

    Attributes:
        ops: names of ATen's or of higher-order ones; ``item`` is reading a number out of a tensor, in any spelling.
        write: for the user.
        before: an expression of an image x that calls one.
        after: one that does not.
        same: whether both compute the same.
    """

    ops: tuple[str, ...]
    write: str
    before: str
    after: str
    same: bool = False


@cache
def alternatives() -> tuple[Alternative, ...]:
    """Returns the table."""
    entries = tomllib.loads(TABLE.read_text(encoding="utf-8"))["alternatives"]
    return tuple(Alternative(**{**entry, "ops": tuple(entry["ops"])}) for entry in entries)


def alternatives_of(op: str) -> list[str]:
    """Returns what to write in place of an operation; nothing for one that is not in the table."""
    return [item.write for item in alternatives() if op in item.ops]


def nearest(ways: Iterable[str]) -> str:
    """Returns the first of the ways out as a sentence."""
    return ", or ".join(islice(ways, WAYS))
