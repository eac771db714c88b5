"""The files that a command measures: named, found in the folder, or exported first; and what it says of them."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.cli import console
from mobilevit_deploy.system.publish import DEFAULT_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from mobilevit_deploy.report.stored import Measured

DEFAULT_BACKEND = "onnxruntime"
ANDROID = "android"  # no target's backend: the phone runs what the file is for
ANDROID_FILES = (".tflite", ".onnx", ".pte")
APPLE = re.compile("iphone|ipad", re.IGNORECASE)  # in the names that their owners leave them
MEASURED = "for-latency"  # the folder, below that of the artifacts, of what was exported to be measured


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


def backend_of(names: "Sequence[str]", device: "Sequence[str] | None" = None) -> str:
    """Returns what runs the files that are named; ONNX Runtime for models.

    Args:
        names: of files and models.
        device: that was named; an Android phone's profile, or for files that iPhones do not run the serial of a phone.

    Raises:
        UsageError: there are files for several.
    """
    from mobilevit_deploy.catalog import catalog
    from mobilevit_deploy.catalog.formats import formats
    from mobilevit_deploy.errors import UsageError

    profiles = catalog.devices()
    if device and all(
        profiles[name].kind == "android" if name in profiles else _for_android(names) and not APPLE.search(name)
        for name in device
    ):
        return ANDROID
    backends = {known.suffix: known.backend for known in formats().values()}
    found = dict.fromkeys(backends[Path(name).suffix] for name in names if Path(name).suffix in backends)
    if len(found) > 1:
        raise UsageError(f"these files are for {' and '.join(found)}", "measure one kind of file at a time")
    return next(iter(found), DEFAULT_BACKEND)


def _for_android(names: "Sequence[str]") -> bool:
    """Tells whether there are files, and all are such as Android phones alone run."""
    return bool(names) and all(Path(name).suffix in ANDROID_FILES for name in names)


def find_artifacts(
    names: list[str],
    folder: Path,
    batch: int | None,
    target: str,
    progress: "Callable[[str], None]",
    size: tuple[int, ...] | None = None,
) -> list[Path]:
    """Returns the files to measure; models are looked up in the folder, and exported when they are not there.

    Args:
        names: files and models; none for all files in the folder.
        folder: of artifacts.
        batch: images per run; None for any.
        target: of the files.
        progress: told what is done.
        size: (height, width) of the image that a file in the folder takes; None for any.
    """
    from mobilevit_deploy.catalog.catalog import DEFAULT_MODEL, artifact_name
    from mobilevit_deploy.catalog.formats import format_of, formats
    from mobilevit_deploy.errors import MeasurementError

    suffix = format_of(target).suffix
    if not names:
        found = _of_size(sorted(folder.glob(f"*{suffix}")), size)
        if not found and folder != DEFAULT_FOLDER:
            what = f"{suffix} file for {size[-2]}x{size[-1]}" if size else f"{suffix} file"
            raise MeasurementError(f"there is no {what} in {folder}", f"mvd export MODEL --out {folder} writes one")
        return found or _exported(DEFAULT_MODEL, folder, batch, target, progress, size)
    artifacts = []
    for name in names:
        if Path(name).suffix in {known.suffix for known in formats().values()} or Path(name).exists():
            artifacts.append(Path(name))
        else:
            found = _files_of(artifact_name(name), folder, suffix)
            found = _with_batch(_of_size(found, size), batch, target)
            artifacts += found or _exported(name, folder, batch, target, progress, size)
    return artifacts


def _files_of(model: str, folder: Path, suffix: str) -> list[Path]:
    """Returns a model's files in a folder, by their names."""
    return sorted(path for path in folder.glob(f"*{suffix}") if path.name.startswith(f"{model}-"))


def _of_size(paths: list[Path], size: tuple[int, ...] | None) -> list[Path]:
    """Returns the files that take images of a size; all without one."""
    if size is None:
        return paths
    from mobilevit_deploy.pipeline import provenance
    from mobilevit_deploy.pipeline.origin import with_channels_first
    from mobilevit_deploy.targets.registry import describe_file

    found = []
    for path in paths:
        file = describe_file(path)
        entries = with_channels_first(file, provenance.parse(file.metadata, path.name)).entries
        found += [path] if any(entry.shape[2:] == size[-2:] for entry in entries) else []
    return found


def _with_batch(paths: list[Path], batch: int | None, target: str) -> list[Path]:
    """Returns the files that can be run with a batch; all without one."""
    if batch is None:
        return paths
    from mobilevit_deploy.targets.registry import runners_of

    return [path for path in paths if runners_of(target).takes_batch(path, batch)]


def _exported(
    name: str,
    folder: Path,
    batch: int | None,
    target: str,
    progress: "Callable[[str], None]",
    size: tuple[int, ...] | None,
) -> list[Path]:
    """Exports a model into a folder of its own, where no other measurement finds it that does not ask for it."""
    from mobilevit_deploy.catalog.catalog import artifact_name, is_own_code, model
    from mobilevit_deploy.catalog.formats import format_of
    from mobilevit_deploy.export.export import export_model
    from mobilevit_deploy.loading.model import ModelRequest
    from mobilevit_deploy.pipeline.request import ExportRequest

    if not is_own_code(name):
        model(name)  # an unknown name is refused before anything is said or done
    folder = folder / (MEASURED if batch is None else f"batch-{batch}")
    kept = _of_size(_files_of(artifact_name(name), folder, format_of(target).suffix), size)
    if kept := _with_batch(kept, batch, target):
        return kept
    what = f"{name} with batch {batch}" if batch else name
    console.warn(f"there is no {what} in {folder}: exporting it with random weights, which take the same time")
    request = ExportRequest(ModelRequest(name, batch=batch or 1, size=size), (target,), folder=folder)
    return [report.artifact.path for report in export_model(request, progress)]
