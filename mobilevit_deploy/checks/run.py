"""From a file of checks to a verdict on each gate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.checks.android import judge_android
from mobilevit_deploy.checks.export_request import export_of
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
        _, verdicts = export_and_judge(check, request.folder, request.cache, tell, request.update_baselines)
    except MvdError as error:
        return Checked(check.title, (), error.message + (f"; {error.hint}" if error.hint else ""))
    return Checked(check.title, verdicts)


def export_and_judge(
    check: Check,
    folder: Path,
    cache: Path | None,
    progress: Progress = lambda _line: None,
    update_baselines: bool = False,
) -> tuple[ExportReport, tuple[Verdict, ...]]:
    """Exports one model, and holds it to its limits.

    Args:
        check: what to export, and its limits.
        folder: that the artifact and its report go to; nothing does where parity fails.
        cache: of kept exports; None for none.
        progress: is told each stage.
        update_baselines: write the latency baseline instead of judging latency.

    Returns:
        The report, and a verdict per gate; where parity fails it is the only one.

    Raises:
        MvdError: it cannot be exported, or not be judged.
    """
    limits = check.limits
    try:
        (report,) = export_model(export_of(check, folder, cache), progress)
    except ParityFailedError as error:
        (report,) = error.reports
        return report, (judge_parity(report.parity),)
    path, verdicts = report.artifact.path, list(judge_report(report, limits))
    if limits.latency and update_baselines:
        update_baseline(path, limits.latency, progress)
        verdicts.append(Verdict("latency", "passed", f"wrote {limits.latency.baseline}", "a new baseline"))
    elif limits.latency:
        verdicts.append(judge_latency(path, limits.latency, progress))
    if limits.neural_engine:
        verdicts.append(judge_neural_engine(path, limits.neural_engine, progress))
    if limits.android:
        verdicts.append(judge_android(path, limits.android, progress))
    return report, tuple(verdicts)
