"""``mvd latency``."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import Json, Out
from mobilevit_deploy.publish import DEFAULT_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable


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
    seconds: Annotated[float, typer.Option(min=0.1, help="Time to measure each artifact, after the warm-up.")] = 3.0,
    device: Annotated[str, typer.Option(help="A device profile.")] = "host",
    out: Out = DEFAULT_FOLDER,
    json: Json = False,
) -> None:
    """Measure latency: each artifact in a fresh process, after a warm-up."""
    with console.progress() as progress:
        from mobilevit_deploy.latency.measure import LatencyRequest, check_backend, measure_latency
        from mobilevit_deploy.report import tables
        from mobilevit_deploy.report.json import latency_document

        check_backend(backend.value, device)
        artifacts = _artifacts(models or [], out, progress)
        request = LatencyRequest(artifacts, backend.value, device, threads, seconds)
        reports = measure_latency(request, progress)
    for report in reports:
        for warning in report.warnings:
            console.warn(f"{report.artifact.name}: {warning}")
    if json:
        console.print_json({"schema": 1, "results": [latency_document(report) for report in reports]})
    else:
        console.print_result(tables.latency_table(reports))


def _artifacts(names: list[str], folder: Path, progress: "Callable[[str], None]") -> list[Path]:
    """Returns the files to measure; models are looked up in the folder, and exported when they are not there."""
    from mobilevit_deploy.catalog import DEFAULT_MODEL, artifact_name

    if not names:
        found = sorted(folder.glob("*.onnx"))
        return found or _exported(DEFAULT_MODEL, folder, progress)
    artifacts = []
    for name in names:
        if Path(name).suffix in (".onnx", ".mlpackage") or Path(name).exists():
            artifacts.append(Path(name))
        else:
            stem = f"{artifact_name(name)}-"
            found = sorted(path for path in folder.glob("*.onnx") if path.name.startswith(stem))
            artifacts += found or _exported(name, folder, progress)
    return artifacts


def _exported(name: str, folder: Path, progress: "Callable[[str], None]") -> list[Path]:
    from mobilevit_deploy.catalog import is_own_code, model
    from mobilevit_deploy.export import ExportRequest, export_model
    from mobilevit_deploy.load import ModelRequest

    if not is_own_code(name):
        model(name)  # an unknown name is refused before anything is said or done
    console.warn(f"there is no {name} in {folder}: exporting it with random weights, which take the same time")
    request = ExportRequest(ModelRequest(name), ("onnx",), folder=folder)
    return [report.artifact.path for report in export_model(request, progress)]
