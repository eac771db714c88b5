"""Which runtime a file needs at least: what it says itself, and what its operators' versions need.

An app whose runtime is older refuses to load the file. The numbers are TensorFlow Lite's. LiteRT goes on with them in
its table, but numbers the packages that apps depend on otherwise: its 1.2 has refused an operator of TensorFlow Lite
2.17 (https://github.com/google-ai-edge/LiteRT/issues/2146).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mobilevit_deploy.targets.litert.tflite.operators import first_runtime
from mobilevit_deploy.targets.litert.tflite.program import Operator, Program

NOTED = "min_runtime_version"  # the name that converters write into the metadata
_VERSION = re.compile(r"\d{1,4}(\.\d{1,4}){1,3}")
_LONGEST = 64  # characters; converters write 16, filled up with zeros


@dataclass(frozen=True)
class MinimumRuntime:
    """The oldest runtime that can load a file.

    Attributes:
        version: such as ``2.9.0``; None where neither the file nor the table says.
        noted: what the file's converter wrote into it.
        newest: an operator that needs ``version``, such as ``GELU version 2``; None where the file alone says it.
        unknown: operators of which the table does not say it, custom ones among them.
    """

    version: str | None
    noted: str | None
    newest: str | None
    unknown: tuple[str, ...]


def minimum_runtime(program: Program) -> MinimumRuntime:
    """Returns what runtime a file needs."""
    noted = program.metadata_text(NOTED, _LONGEST)
    if noted is not None and not _VERSION.fullmatch(noted):
        noted = None
    kinds = {(item.kind, item.version, item.name) for item in _all(program)}
    needs = [(version, kind) for kind in kinds if (version := first_runtime(kind[0], kind[1]))]
    unknown = sorted(_title(*kind) for kind in kinds if first_runtime(kind[0], kind[1]) is None)
    version, newest = max(needs, key=lambda item: (_order(item[0]), item[1]), default=(None, None))
    if noted is not None and (version is None or _order(noted) > _order(version)):
        version, newest = noted, None
    return MinimumRuntime(version, noted, None if newest is None else _title(*newest), tuple(unknown))


def _all(program: Program) -> Iterator[Operator]:
    for subgraph in program.subgraphs:
        yield from subgraph.operators


def _title(kind: str, version: int, name: str) -> str:
    return f"{name or kind} version {version}"


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
