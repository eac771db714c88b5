"""The files that a command measures: named, found in the folder, or exported first; and what it says of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.cli import console
from mobilevit_deploy.system.publish import DEFAULT_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from mobilevit_deploy.report.stored import Measured


def store(reports: "Sequence[Measured]", document: "Callable[[Any], dict[str, Any]]") -> None:
    """Keeps the results beside the artifacts, for `mvd report`; that this may fail spoils no measurement."""
    from mobilevit_deploy.errors import OutputError
    from mobilevit_deploy.report.stored import store_latencies

    try:
        store_latencies(reports, document)
    except OutputError as error:
        console.warn(f"the latency is not kept for mvd report: {error.message}")


def print_latencies(
    reports: "Sequence[Any]",
    names: "Sequence[str]",
    document: "Callable[[Any], dict[str, Any]]",
    table: "Callable[[Sequence[Any]], RenderableType]",
    json: bool,
) -> None:
    """Prints what speaks against the figures, then the figures, of any backend.

    Args:
        reports: of one backend.
        names: of what was measured, for its warnings.
        document: returns a report as JSON takes it.
        table: returns all reports as a table.
        json: whether to print documents.
    """
    for report, name in zip(reports, names, strict=True):
        for warning in report.warnings:
            console.warn(f"{name}: {warning}")
    if not all(report.stable for report in reports):
        console.warn("figures that are not stable are not to be cited")
    if json:
        console.print_json({"schema": 1, "results": [document(report) for report in reports]})
    else:
        console.print_result(table(reports))


def find_artifacts(
    names: list[str], folder: Path, batch: int | None, target: str, progress: "Callable[[str], None]"
) -> list[Path]:
    """Returns the files to measure; models are looked up in the folder, and exported when they are not there."""
    from mobilevit_deploy.catalog.catalog import DEFAULT_MODEL, artifact_name
    from mobilevit_deploy.catalog.formats import format_of, formats
    from mobilevit_deploy.errors import MeasurementError

    suffix = format_of(target).suffix
    if not names:
        found = sorted(folder.glob(f"*{suffix}"))
        if not found and folder != DEFAULT_FOLDER:
            raise MeasurementError(
                f"there is no {suffix} file in {folder}", f"mvd export MODEL --out {folder} writes one"
            )
        return found or _exported(DEFAULT_MODEL, folder, batch, target, progress)
    artifacts = []
    for name in names:
        if Path(name).suffix in {known.suffix for known in formats().values()} or Path(name).exists():
            artifacts.append(Path(name))
        else:
            stem = f"{artifact_name(name)}-"
            found = sorted(path for path in folder.glob(f"*{suffix}") if path.name.startswith(stem))
            artifacts += _with_batch(found, batch, target) or _exported(name, folder, batch, target, progress)
    return artifacts


def _with_batch(paths: list[Path], batch: int | None, target: str) -> list[Path]:
    """Returns the files that can be run with a batch; all without one."""
    if batch is None:
        return paths
    from mobilevit_deploy.targets.registry import runners_of

    return [path for path in paths if runners_of(target).takes_batch(path, batch)]


def _exported(name: str, folder: Path, batch: int | None, target: str, progress: "Callable[[str], None]") -> list[Path]:
    """Exports a model; one with a batch of its own goes into a folder of its own, for file names do not tell it."""
    from mobilevit_deploy.catalog.catalog import artifact_name, is_own_code, model
    from mobilevit_deploy.catalog.formats import format_of
    from mobilevit_deploy.export.export import export_model
    from mobilevit_deploy.loading.model import ModelRequest
    from mobilevit_deploy.pipeline.request import ExportRequest

    if not is_own_code(name):
        model(name)  # an unknown name is refused before anything is said or done
    if batch is not None:
        folder = folder / f"batch-{batch}"
        suffix = format_of(target).suffix
        found = sorted(path for path in folder.glob(f"*{suffix}") if path.name.startswith(f"{artifact_name(name)}-"))
        if found := _with_batch(found, batch, target):
            return found
    what = f"{name} with batch {batch}" if batch else name
    console.warn(f"there is no {what} in {folder}: exporting it with random weights, which take the same time")
    request = ExportRequest(ModelRequest(name, batch=batch or 1), (target,), folder=folder)
    return [report.artifact.path for report in export_model(request, progress)]
