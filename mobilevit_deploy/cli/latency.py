"""``mvd latency``."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import Json, Out
from mobilevit_deploy.publish import DEFAULT_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mobilevit_deploy.latency import LatencyReport


class Backend(StrEnum):
    """What runs the artifact."""

    ONNXRUNTIME = "onnxruntime"
    COREML = "coreml"


def latency(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL|ARTIFACT]...",
            help="Files, or models (exported if need be). Default: every artifact in the output folder.",
        ),
    ] = None,
    backend: Annotated[Backend, typer.Option(help="What runs the artifacts.")] = Backend.ONNXRUNTIME,
    threads: Annotated[int | None, typer.Option(min=1, help="Default: as many as there are cores.")] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images per run; a model is exported with it. Default: the file's, or 1.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Time limit for each artifact; less when the median is known to 2 %.")
    ] = 20.0,
    provider: Annotated[str, typer.Option(metavar="NAME", help="Of ONNX Runtime, such as cpu.")] = "cpu",
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Session configuration entry; with the prefix `provider.` an option of the provider; repeatable.",
        ),
    ] = None,
    huge_pages: Annotated[bool, typer.Option("--huge-pages", help="Let malloc ask for huge pages (Linux).")] = False,
    pin: Annotated[
        str, typer.Option(metavar="auto|none|CORES", help="auto: the least busy of the fastest cores; 0,2 or 0-3.")
    ] = "auto",
    device: Annotated[str, typer.Option(help="A device profile.")] = "host",
    out: Out = DEFAULT_FOLDER,
    json: Json = False,
) -> None:
    """Measure latency: each artifact in fresh processes, after a warm-up."""
    with console.progress() as progress:
        from mobilevit_deploy.latency.measure import LatencyRequest, check_backend, measure_latency
        from mobilevit_deploy.latency.settings import read_settings
        from mobilevit_deploy.report.json import latency_document
        from mobilevit_deploy.report.latency import latency_table

        check_backend(backend.value, device)
        read_settings(provider, option or (), huge_pages)  # what cannot be is refused before anything is exported
        artifacts = _artifacts(models or [], out, batch, progress)
        request = LatencyRequest(
            artifacts, backend.value, device, threads, seconds, batch, provider, option or (), huge_pages, pin
        )
        reports = measure_latency(request, progress)
        _store(reports)
    for report in reports:
        for warning in report.warnings:
            console.warn(f"{report.artifact.name}: {warning}")
    if not all(report.stable for report in reports):
        console.warn("figures that are not stable are not to be cited")
    if json:
        console.print_json({"schema": 1, "results": [latency_document(report) for report in reports]})
    else:
        console.print_result(latency_table(reports))


def _store(reports: "Sequence[LatencyReport]") -> None:
    """Keeps the results beside the artifacts, for `mvd report`; that this may fail spoils no measurement."""
    from mobilevit_deploy.errors import OutputError
    from mobilevit_deploy.report.stored import store_latencies

    try:
        store_latencies(reports)
    except OutputError as error:
        console.warn(f"the latency is not kept for mvd report: {error.message}")


def _artifacts(names: list[str], folder: Path, batch: int | None, progress: "Callable[[str], None]") -> list[Path]:
    """Returns the files to measure; models are looked up in the folder, and exported when they are not there."""
    from mobilevit_deploy.catalog import DEFAULT_MODEL, artifact_name

    if not names:
        found = sorted(folder.glob("*.onnx"))
        return found or _exported(DEFAULT_MODEL, folder, batch, progress)
    artifacts = []
    for name in names:
        if Path(name).suffix in (".onnx", ".mlpackage") or Path(name).exists():
            artifacts.append(Path(name))
        else:
            stem = f"{artifact_name(name)}-"
            found = sorted(path for path in folder.glob("*.onnx") if path.name.startswith(stem))
            artifacts += _with_batch(found, batch) or _exported(name, folder, batch, progress)
    return artifacts


def _with_batch(paths: list[Path], batch: int | None) -> list[Path]:
    """Returns the files that can be run with a batch; all without one."""
    if batch is None:
        return paths
    from mobilevit_deploy.onnx_inputs import takes_batch

    return [path for path in paths if takes_batch(path, batch)]


def _exported(name: str, folder: Path, batch: int | None, progress: "Callable[[str], None]") -> list[Path]:
    """Exports a model; one with a batch of its own goes into a folder of its own, for file names do not tell it."""
    from mobilevit_deploy.catalog import artifact_name, is_own_code, model
    from mobilevit_deploy.export import ExportRequest, export_model
    from mobilevit_deploy.load import ModelRequest

    if not is_own_code(name):
        model(name)  # an unknown name is refused before anything is said or done
    if batch is not None:
        folder = folder / f"batch-{batch}"
        found = sorted(path for path in folder.glob("*.onnx") if path.name.startswith(f"{artifact_name(name)}-"))
        if found := _with_batch(found, batch):
            return found
    what = f"{name} with batch {batch}" if batch else name
    console.warn(f"there is no {what} in {folder}: exporting it with random weights, which take the same time")
    request = ExportRequest(ModelRequest(name, batch=batch or 1), ("onnx",), folder=folder)
    return [report.artifact.path for report in export_model(request, progress)]
