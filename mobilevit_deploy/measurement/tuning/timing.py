"""What times the files of a search: this machine, by the method of ``mvd compare``, or an attached Android phone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.measurement.android.attached import AttachedPhone
from mobilevit_deploy.measurement.comparison.alternate import alternate
from mobilevit_deploy.measurement.comparison.alternate_android import alternate_android
from mobilevit_deploy.measurement.latency.android import AndroidRequest
from mobilevit_deploy.measurement.latency.cores import AUTO, choose_cores
from mobilevit_deploy.measurement.latency.process import Session, worker_of
from mobilevit_deploy.measurement.latency.settings import read_settings
from mobilevit_deploy.measurement.latency.stability import OTHERS_LIMIT, WAITING_LIMIT
from mobilevit_deploy.measurement.tuning.search import Times
from mobilevit_deploy.system.environment import choose_threads, cpu_name
from mobilevit_deploy.system.hardware import cpu_features

BUSY = "the machine was busy: the ratios allow for that, the times themselves are too long"


@dataclass
class Here:
    """This machine.

    Attributes:
        target: of the files.
        threads: of one run.
        pin: cores, see ``latency.cores.choose_cores``.
        warnings: of what was measured so far.
    """

    target: str
    threads: int
    pin: tuple[int, ...]
    warnings: tuple[str, ...] = ()

    @property
    def machine(self) -> str:
        return cpu_name()

    @property
    def features(self) -> tuple[str, ...]:
        return cpu_features() or ()

    @property
    def backend(self) -> str:
        return format_of(self.target).backend

    def measure(self, paths: Sequence[Path], seconds: float) -> Times:
        """Times files in turns, the default one first."""
        return self.measure_options(paths, seconds, [()] * len(paths))

    def measure_options(self, paths: Sequence[Path], seconds: float, options: Sequence[Sequence[str]]) -> Times:
        """Times files in turns, each with entries of its runtime's session."""
        worker = worker_of(self.target)
        sessions = [
            Session(path, self.threads, read_settings(options=own), pin=self.pin, worker=worker)
            for path, own in zip(paths, options, strict=True)
        ]
        found = alternate(sessions, seconds)
        busy = found.conditions.others_share > OTHERS_LIMIT or (found.conditions.waiting_share or 0) > WAITING_LIMIT
        self.warnings = (BUSY,) if busy else self.warnings
        return found.times_ms


@dataclass
class OnPhone:
    """An attached Android phone; ``request`` says how files are run on it, and names none."""

    phone: AttachedPhone
    request: AndroidRequest
    warnings: tuple[str, ...] = ()
    features: tuple[str, ...] = ()

    @property
    def machine(self) -> str:
        facts: Mapping[str, Any] = self.phone.facts()
        return f"{facts['device']}, {facts['cpu']}"

    @property
    def backend(self) -> str:
        return f"android, {self.request.delegate}"

    @property
    def threads(self) -> int:
        return self.request.threads

    def measure(self, paths: Sequence[Path], seconds: float) -> Times:
        """Times files in turns, the default one first; each process of the runtime's own tool is a group."""
        return alternate_android(paths, seconds, self.request, self.phone)


Place = Here | OnPhone


def this_machine(target: str, threads: int | None = None, pin: str = AUTO) -> Here:
    """Returns this machine, to time a target's files on.

    Args:
        target: of the files.
        threads: of one run; None for as many as there are cores.
        pin: ``auto``, ``none`` or core numbers, see ``latency.cores.choose_cores``.

    Raises:
        MeasurementError: nothing here times such files.
        UsageError: threads or cores that cannot be.
    """
    worker_of(target)  # refuses what nothing here times
    count = choose_threads(threads)
    return Here(target, count, choose_cores(pin, count))
