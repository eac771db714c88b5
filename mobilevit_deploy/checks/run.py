"""From a file of checks to a verdict on each gate."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.checks.android import judge_android
from mobilevit_deploy.checks.judge import judge_parity, judge_report
from mobilevit_deploy.checks.latency import judge_latency, update_baseline
from mobilevit_deploy.checks.neural_engine import judge_neural_engine
from mobilevit_deploy.checks.plan import Check, read_checks
from mobilevit_deploy.checks.verdict import Verdict
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.export.export import ParityFailedError, export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.system.publish import DEFAULT_FOLDER

Progress = Callable[[str], None]


@dataclass(frozen=True)
class GatesRequest:
    """What to check.

    Attributes:
        file: the TOML file.
        folder: that artifacts and their reports go to.
        cache: of kept exports; None for none.
        update_baselines: write the latency baselines instead of judging latency.
    """

    file: Path
    folder: Path = DEFAULT_FOLDER
    cache: Path | None = None
    update_baselines: bool = False


@dataclass(frozen=True)
class Checked:
    """One check.

    Attributes:
        title: its name.
        verdicts: one per gate; none where it could not be run.
        error: why it could not be run, with the next step; empty if it could.
    """

    title: str
    verdicts: tuple[Verdict, ...]
    error: str = ""

    @property
    def failed(self) -> bool:
        """Tells whether a gate failed."""
        return any(verdict.status == "failed" for verdict in self.verdicts)

    @property
    def undecided(self) -> bool:
        """Tells whether a gate could not tell."""
        return any(verdict.status == "undecided" for verdict in self.verdicts)


def run_checks(request: GatesRequest, progress: Progress = lambda _line: None) -> list[Checked]:
    """Runs every check; one that cannot be run does not keep the others from running.

    Raises:
        CatalogError: the file is no list of checks.
    """
    checks = read_checks(request.file)
    return [_run(check, request, number, checks, progress) for number, check in enumerate(checks, 1)]


def _run(check: Check, request: GatesRequest, number: int, checks: Sequence[Check], progress: Progress) -> Checked:
    def tell(line: str) -> None:
        progress(f"{number} of {len(checks)}, {check.title}: {line}")

    try:
        return Checked(check.title, tuple(_judge(check, request, tell)))
    except MvdError as error:
        return Checked(check.title, (), error.message + (f"; {error.hint}" if error.hint else ""))


def _judge(check: Check, request: GatesRequest, progress: Progress) -> Iterator[Verdict]:
    limits = check.limits
    try:
        (report,) = export_model(check.request(request.folder, request.cache), progress)
    except ParityFailedError as error:
        yield from (judge_parity(report.parity) for report in error.reports)
        return
    yield from judge_report(report, limits)
    if limits.latency:
        yield _latency(report, check, request, progress)
    if limits.neural_engine:
        yield judge_neural_engine(report.artifact.path, limits.neural_engine, progress)
    if limits.android:
        yield judge_android(report.artifact.path, limits.android, progress)


def _latency(report: ExportReport, check: Check, request: GatesRequest, progress: Progress) -> Verdict:
    limit, path = check.limits.latency, report.artifact.path
    assert limit is not None  # the caller has looked
    if request.update_baselines:
        update_baseline(path, limit, progress)
        return Verdict("latency", "passed", f"wrote {limit.baseline}", "a new baseline")
    return judge_latency(path, limit, progress)
