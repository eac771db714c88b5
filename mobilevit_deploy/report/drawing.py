"""Writing what was found into picture files: a mask or boxes each, and a contact sheet of several pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mobilevit_deploy.catalog.formats import target_of
from mobilevit_deploy.report.pictures import contact_sheet, draw
from mobilevit_deploy.system.publish import publish, staging
from mobilevit_deploy.verification.prediction.reading import Ranking

if TYPE_CHECKING:
    from PIL import Image

    from mobilevit_deploy.verification.prediction.predict import PredictReport

SHEET = "contact-sheet.png"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Drawn:
    """The files that were written: in order, the contact sheet first, and by the picture that each is of."""

    files: tuple[Path, ...] = ()
    by_image: Mapping[Path, Path] = field(default_factory=dict)


def draw_all(report: PredictReport, folder: Path, progress: Progress) -> Drawn:
    """Writes all pictures, or none: those with a mask or boxes, and a sheet of all where there are several.

    One picture's classes are no picture: nothing is written for them.

    Raises:
        OutputError: the folder cannot be written.
        MvdError: a picture cannot be read any more.
    """
    # As its report is called: an ONNX file and a package of one model differ in nothing but the suffix.
    file = f"{report.artifact.stem}.{target_of(report.artifact)}"
    pictures: dict[str, Callable[[], Image.Image]] = {}
    names: dict[Path, str] = {}
    if len(report.predictions) > 1:
        pictures[f"{file}.{SHEET}"] = lambda: contact_sheet(report)
    for item in report.predictions:
        if not isinstance(item.found, Ranking) and item.image not in names:
            names[item.image] = _free_name(f"{item.image.stem}.{file}", pictures)
            pictures[names[item.image]] = lambda item=item: draw(report, item)  # type: ignore[misc]
    if not pictures:
        return Drawn()
    progress("drawing")
    with staging(folder) as work:
        for name, make in pictures.items():
            make().save(work / name)
        publish(work, folder)
    return Drawn(tuple(folder / name for name in pictures), {image: folder / name for image, name in names.items()})


def _free_name(stem: str, taken: Mapping[str, object]) -> str:
    """Returns a name that no picture of another folder has."""
    name, number = f"{stem}.png", 2
    while name in taken:
        name, number = f"{stem}-{number}.png", number + 1
    return name
