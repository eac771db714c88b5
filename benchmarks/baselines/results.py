"""Results on disk: a file with a line of JSON for each row, which stands by itself.

A file is of one machine and one set of versions: rows of two of them would stand in one table as if they compared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from benchmarks.baselines.pages import Case
from benchmarks.baselines.way import Way
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.measurement.comparison.ratio import Ratio, paired_ratio
from mobilevit_deploy.measurement.latency.statistics import Statistics, summarise
from mobilevit_deploy.system.publish import publish_text

OF_A_MACHINE = ("cpu", "cpu_features", "cores_logical")  # what tells two apart; load and the like change by the minute
ELSEWHERE = "another folder with --out keeps the two apart; the old file moved away, everything is measured anew"


@dataclass
class Result:
    """What one way gave.

    Attributes:
        way: its name.
        failure: why there is no file, or none that runs; empty where there is one.
        times_ms: of each group of processes, the median of each round; empty after a failure.
        max_rel: largest difference from PyTorch over the output's largest magnitude.
        bytes: of the file, with the weights beside it.
    """

    way: str
    failure: str = ""
    times_ms: tuple[tuple[float, ...], ...] = ()
    max_rel: float | None = None
    bytes: int | None = None

    def statistics(self) -> Statistics:
        """Returns the median over all rounds with its intervals, as ``mvd latency`` computes them."""
        return summarise(self.times_ms)


@dataclass
class Row:
    """All ways of one case, and where and when they were timed.

    Attributes:
        case: what was timed.
        seconds: the limit of timing that was asked for.
        machine: as ``hardware.machine`` describes it.
        versions: of Python and of what the ways need; None where something was not installed.
        conditions: what else happened on the machine meanwhile; empty where nothing was timed.
        results: of each way, in order.
    """

    case: Case
    seconds: float
    machine: dict[str, Any]
    versions: dict[str, str | None]
    conditions: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def of(self, way: str) -> Result | None:
        """Returns what a way gave; None where it had no part."""
        return next((result for result in self.results if result.way == way), None)

    def ratio(self, way: str, base: str) -> Ratio | None:
        """Returns a way's times over those of another in the same rounds; None where one of the two has none."""
        found, other = self.of(way), self.of(base)
        if not (found and found.times_ms and other and other.times_ms):
            return None
        return paired_ratio(other.times_ms, found.times_ms)

    def holds(self, ways: Iterable[Way], seconds: float) -> bool:
        """Tells whether nothing need be measured: all these ways are there, and were timed for at least so long."""
        return self.seconds >= seconds and all(self.of(way.name) for way in ways)


_ROW = TypeAdapter(Row)


def read(path: Path) -> dict[Case, Row]:
    """Returns the rows of a file; none where there is no file.

    Raises:
        MvdError: it holds something else.
    """
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8") as file:
            rows = [_ROW.validate_json(line) for line in file]
    except ValueError as error:  # pydantic's is one too, with a line for each thing that is wrong
        reason = " ".join(str(error).splitlines()[:3])
        raise MvdError(f"{path} holds no results that are read here: {reason}", ELSEWHERE) from error
    return {row.case: row for row in rows}


def write(path: Path, rows: Mapping[Case, Row]) -> None:
    """Writes all rows, whole or not at all."""
    publish_text("".join(f"{_ROW.dump_json(row).decode()}\n" for row in rows.values()), path)


def check_same_place(
    path: Path, rows: Iterable[Row], machine: Mapping[str, Any], versions: Mapping[str, str | None]
) -> None:
    """Refuses to add to rows that were measured on another machine, or with other versions.

    What was not installed then, or is not now, is no other version: ways come and go.

    Args:
        path: of the rows.
        rows: that are there.
        machine: this one.
        versions: of what is installed here.

    Raises:
        MvdError: with everything that differs.
    """
    here = {**_identity(machine), **versions}
    differing = {
        f"{name} {then} there, {here[name]} here"
        for row in rows
        for name, then in {**_identity(row.machine), **row.versions}.items()
        if then is not None and here.get(name) is not None and then != here[name]
    }
    if differing:
        raise MvdError(f"{path} was measured elsewhere: {'; '.join(sorted(differing))}", ELSEWHERE)


def _identity(machine: Mapping[str, Any]) -> dict[str, Any]:
    return {key: machine.get(key) for key in OF_A_MACHINE}


def is_wrong(result: Result, way: Way) -> bool:
    """Tells whether a file computes something else than PyTorch."""
    return result.max_rel is None or not result.max_rel <= way.allowed
