"""Runs the artifacts of a folder on one picture, for the page: each answer is drawn, and embedded as it is."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from mobilevit_deploy.errors import MvdError, printable
from mobilevit_deploy.images.pictures import open_picture
from mobilevit_deploy.report.layout import ResultTable
from mobilevit_deploy.report.page.folder import Artifact, Folder
from mobilevit_deploy.report.page.shown import Prediction, Shown
from mobilevit_deploy.report.pictures import answer_text, draw
from mobilevit_deploy.verification.prediction import PredictReport, PredictRequest, predict
from mobilevit_deploy.verification.prediction.document import predict_document

LONGEST_SIDE = 400  # pixels of a picture on the page, which has one for each artifact
QUALITY = 85  # of WebP: a photograph takes 20 kB, a tenth of a PNG's
Progress = Callable[[str], None]


def predict_in_folder(folder: Folder, picture: Path, progress: Progress = lambda _line: None) -> Prediction:
    """Returns what each artifact says of a picture; one that cannot be run, or has no answer, says why.

    Args:
        folder: with the artifacts.
        picture: prepared for each as the file says itself.
        progress: called with a line of text when the next one is run.

    Raises:
        MvdError: the picture cannot be read.
    """
    with open_picture(picture, advice="give another picture") as opened:
        opened.load()
    found = {}
    for artifact in folder.artifacts:
        progress(f"running {artifact.name}")
        found[artifact.name] = _shown(folder.path, artifact, picture)
    return Prediction(printable(str(picture)), found)


def answers_table(prediction: Prediction) -> ResultTable:
    """Returns what each artifact says of the picture, in words."""
    table = ResultTable("artifact", f"says of {prediction.image}")
    for name, shown in prediction.by_artifact.items():
        table.add_row(name, shown.text)
    return table


def show_report(report: PredictReport) -> Shown:
    """Returns the answer to a report's first picture."""
    item = report.predictions[0]
    content = io.BytesIO()
    draw(report, item, LONGEST_SIDE).save(content, format="WEBP", quality=QUALITY)
    document = predict_document(report, {})["predictions"][0]["found"]
    source = f"data:image/webp;base64,{b64encode(content.getvalue()).decode()}"
    return Shown(printable(answer_text(report, item.found)), source, tuple(document))


def _shown(folder: Path, artifact: Artifact, picture: Path) -> Shown:
    if artifact.state != "present":
        return Shown("the file is not the one that its report is of")
    try:
        return show_report(predict(PredictRequest(folder / artifact.name, [picture])))
    except MvdError as error:
        return Shown(printable(error.message))
