"""Damaged copies of a file, and what mvd verify says of them."""

import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobilevit_deploy.verification.report import VerifyFailedError
from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact
from tests.support.damage.kinds import KINDS
from tests.support.damage.places import FIND, Place


@dataclass(frozen=True)
class Damage:
    """One tensor of an artifact, damaged in one way."""

    kind: str
    place: Place
    content: bytes

    def write(self, path: Path, copy: Path) -> Path:
        """Writes a damaged copy and returns its path."""
        if path.is_dir():
            shutil.copytree(path, copy, dirs_exist_ok=True)
        else:
            shutil.copy(path, copy)
        file = copy / self.place.file if self.place.file else copy
        content = bytearray(file.read_bytes())
        content[self.place.start : self.place.start + len(self.content)] = self.content
        file.write_bytes(content)
        return copy


def draw(path: Path, count: int, seed: int, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[Damage]:
    """Yields so many damages, the kinds in turn, each of a tensor drawn at random; the same for one seed."""
    places = list(FIND[path.suffix](path))
    rng = np.random.default_rng([seed, zlib.crc32(path.name.encode())])
    found = 0
    while found < count:
        kind, place = kinds[found % len(kinds)], places[int(rng.integers(len(places)))]
        values = KINDS[kind](place.values, rng)
        if values is not None:
            found += 1
            yield Damage(kind, place, values.tobytes())


def caught(damage: Damage, path: Path, copy: Path) -> str | None:
    """Returns why a damaged copy passes for another than it is; None where it ends in exit 3 with the tensor's name."""
    damage.write(path, copy)
    try:
        verify_artifact(VerifyRequest(copy))
    except VerifyFailedError as error:
        changed = error.report.integrity.changed
        if error.exit_code != 3 or len(changed) != 1 or str(changed[0]) not in error.message:
            return f"{damage.kind} of {damage.place.name}: {error.message}"
        if damage.place.name and not changed[0].name.startswith(damage.place.name):
            return f"{damage.kind} of {damage.place.name}: {changed[0]} is named"
        if changed[0].module is None or damage.place.module not in (None, changed[0].module):
            return f"{damage.kind} of {damage.place.module}: {changed[0]} is named"
        return None
    except Exception as error:
        return f"{damage.kind} of {damage.place.name}: {error!r}"
    return f"{damage.kind} of {damage.place.name}: passed"
