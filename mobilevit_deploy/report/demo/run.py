"""Exports the demo's model to every target that is installed here, and asks each file what its picture shows."""

import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.catalog.formats import (
    check_packages,
    format_of,
    formats,
    installed_targets,
    missing_packages,
)
from mobilevit_deploy.export.cache import default_folder
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.report.demo.data import CHECKPOINT, MODEL, PICTURE, SIZE
from mobilevit_deploy.report.page.folder import read_folder
from mobilevit_deploy.report.page.html import render
from mobilevit_deploy.report.page.predictions import show_report
from mobilevit_deploy.report.page.shown import Prediction
from mobilevit_deploy.system.environment import pip_command
from mobilevit_deploy.system.publish import publish, publish_text, staging
from mobilevit_deploy.verification.prediction import PredictReport, PredictRequest, predict

PAGE = "report.html"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Demo:
    """What was made.

    Attributes:
        folder: with all files.
        picture: in it.
        checkpoint: in it, likewise.
        page: of the folder.
        reports: of each artifact.
        predictions: of each artifact, on the picture.
        not_installed: by the title of a target that was left out, the command that installs it.
    """

    folder: Path
    picture: Path
    checkpoint: Path
    page: Path
    reports: Sequence[ExportReport]
    predictions: Sequence[PredictReport]
    not_installed: dict[str, str]

    @property
    def next_commands(self) -> tuple[str, ...]:
        """Returns what to type next, with an artifact that this machine can measure, if there is one."""
        made = [report.artifact for report in self.reports]
        measured = [artifact for artifact in made if format_of(artifact.target).worker]
        usual = [artifact for artifact in measured if format_of(artifact.target).by_default]
        chosen = (usual or measured or made)[0]
        own = Path(sys.argv[0])  # as it was started, where its environment is not activated
        mvd = shlex.quote(str(own)) if own.name == "mvd" and not shutil.which("mvd") else "mvd"
        file, checkpoint = (shlex.quote(str(path)) for path in (chosen.path, self.checkpoint))
        return (
            f"{mvd} predict {file} YOUR_PICTURE.png",
            f"{mvd} inspect {file}",
            *([f"{mvd} latency {file} --threads 1"] if measured else []),
            f"{mvd} export {MODEL} --checkpoint {checkpoint} --input-size {SIZE} --to {chosen.target}",
            f"{mvd} list",
        )


def run_demo(folder: Path, targets: Sequence[str] = (), progress: Progress = lambda _line: None) -> Demo:
    """Exports, verifies, predicts and writes the page; needs no network.

    Args:
        folder: for all files, the checkpoint and the picture too.
        targets: those that are installed where none is named.
        progress: called with a line of text when a step begins.

    Raises:
        MvdError: the folder cannot be written, or an export failed.
    """
    wanted = tuple(targets or installed_targets())
    for name in wanted:
        check_packages(format_of(name))  # before anything is written
    with staging(folder) as work:
        for file in (CHECKPOINT, PICTURE):
            shutil.copyfile(file, work / file.name)
        publish(work, folder)
    model = ModelRequest(MODEL, checkpoint=folder / CHECKPOINT.name, size=(SIZE, SIZE))
    request = ExportRequest(model, wanted, folder=folder, cache=default_folder())
    reports = export_model(request, progress)
    picture = folder / PICTURE.name
    predictions = []
    for report in reports:
        progress(f"{report.artifact.target}: what does it say of {picture.name}?")
        predictions.append(predict(PredictRequest(report.artifact.path, [picture], top=3)))
    progress(f"writing {folder / PAGE}")
    shown = {found.artifact.name: show_report(found) for found in predictions}
    publish_text(render(read_folder(folder), Prediction(picture.name, shown)), folder / PAGE)
    missing = {format_of(name).title: missing_packages(known) for name, known in formats().items()}
    extras = {known.title: known.extra for known in formats().values()}
    return Demo(
        folder=folder,
        picture=picture,
        checkpoint=folder / CHECKPOINT.name,
        page=folder / PAGE,
        reports=reports,
        predictions=predictions,
        not_installed={title: pip_command(names, extras[title]) for title, names in missing.items() if names},
    )
