"""Sweeps whose cells are simulated, and a cluster of two workers."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mobilevit_deploy.report.matrix.record import Cell, Sweep
from mobilevit_deploy.sweep import attempt
from mobilevit_deploy.sweep.run import Moment, SweepRequest, run_sweep
from tests.sweep.simulated import WORKER


@dataclass
class Simulation:
    """A folder with a sweep of simulated cells.

    Attributes:
        folder: of the file, and of what the cells note.
        moments: what was told of the last run.
    """

    folder: Path
    moments: list[Moment] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "sweep.toml"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def write(self, count: int, more: str = "", matrix: str = "", options: str = "{}") -> None:
        """Writes a sweep of so many cells."""
        models = ", ".join(f'"sim.py:c{number}"' for number in range(count))
        lines = [
            more,
            f"options = {{ model_args = {options} }}",
            "[matrix]",
            f"models = [{models}]",
            "targets = ['onnx']",
        ]
        self.file.write_text("\n".join([*lines, matrix]))
        (self.file.parent / "sim.py").touch()  # which the simulated worker does not read

    def run(self, **given: object) -> Sweep:
        self.moments.clear()
        request = {"file": self.file, "out": str(self.out), "jobs": None if "scheduler" in given else 2, **given}
        return run_sweep(SweepRequest(**request), self.moments.append)  # type: ignore[arg-type]

    def attempts(self) -> dict[str, int]:
        """Returns how often each cell was begun."""
        return {path.name: len(path.read_text().splitlines()) for path in (self.folder / "begun").iterdir()}

    def lines(self) -> str:
        return "\n".join(moment.line for moment in self.moments)


@pytest.fixture
def simulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulation:
    monkeypatch.setattr(attempt, "WORKER", WORKER)
    return Simulation(tmp_path)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a cluster of two workers, one of which offers what a phone needs."""
    from distributed import LocalCluster, SpecCluster  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            yield cluster.scheduler_address


def digests(sweep: Sweep) -> dict[str, str | None]:
    return {cell.id: cell.sha256 for cell in sweep.cells}


def by_id(sweep: Sweep) -> dict[str, Cell]:
    return {cell.id: cell for cell in sweep.cells}


def half_written(folder: Path) -> list[Path]:
    """Returns what in a sweep's folder is no whole cell: what killed writers left, and cells that do not exist."""
    unfinished = [path for path in folder.rglob("*") if path.name.startswith(".unfinished-")]
    without = [path for path in (folder / "cells").iterdir() if not (path / "cell.json").exists()]
    return unfinished + without
