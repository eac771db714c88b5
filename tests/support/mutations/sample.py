"""Draws corruptions of each kind, and makes them."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Each registers its kinds; their order is that of the tables.
from tests.support.mutations import parameters, weights, wiring  # noqa: F401
from tests.support.mutations.kinds import KINDS
from tests.support.mutations.program import Program


@dataclass(frozen=True)
class Corruption:
    """One corruption of one graph: the same in each of its packages, whatever their precision."""

    kind: str
    place: str
    seed: int

    def make(self, package: Path, copy: Path) -> Path | None:
        """Writes a corrupted copy; None where the package does not have the place, or nothing would change."""
        program = Program(package)
        before = program.content()
        edit = next((edit for edit in KINDS[self.kind](program) if edit.place == self.place), None)
        if edit is None:
            return None
        edit.apply(np.random.default_rng([self.seed, zlib.crc32(self.place.encode())]))
        return None if program.content() == before else program.save(copy)


def draw(package: Path, kind: str, count: int, seed: int) -> Iterator[Corruption]:
    """Yields up to ``count`` corruptions of a kind, each at another place, the same for one seed."""
    places = [edit.place for edit in KINDS[kind](Program(package))]
    order = np.random.default_rng([seed, zlib.crc32(kind.encode())]).permutation(len(places))
    for i in order[:count]:
        yield Corruption(kind, places[i], seed)
