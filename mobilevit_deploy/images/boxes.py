"""Pictures of a user's with boxes in COCO's JSON format; everything read is untrusted input.

Source of the format: https://cocodataset.org/#format-data, object detection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images.image_files import ImageFiles
from mobilevit_deploy.images.outlines import Coordinate, Outline, Segmentation, outline_of
from mobilevit_deploy.images.preparation import spread
from mobilevit_deploy.system.environment import installed_version, pip_command
from mobilevit_deploy.system.text_files import read_limited
from mobilevit_deploy.system.wrong_values import wrong_values

LARGEST_FILE = 2**29  # bytes; COCO's own of 118 thousand pictures, with outlines, has 450 million
PACKAGE, EXTRA = "pycocotools", "coco"  # what measures by the boxes; asked for here, before anything takes time
HINT = "give a JSON file in COCO's format: images, annotations and categories"

Id = int | str
Pixels = Annotated[int, Field(gt=0, le=2**20)]
Side = Annotated[float, Field(ge=0, le=2.0**20, allow_inf_nan=False)]


class Part(BaseModel):
    """A part of the file; keys that are not needed are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class CocoImage(Part):
    """One picture: its file in the folder, and its size in pixels."""

    id: Id
    file_name: str = Field(min_length=1, max_length=1000)
    height: Pixels
    width: Pixels


class CocoBox(Part):
    """One box: x and y of its upper left corner, width and height, in pixels; around a crowd, any part of it counts."""

    image_id: Id
    category_id: Id
    bbox: tuple[Coordinate, Coordinate, Side, Side]
    iscrowd: bool = False


class CocoInstance(CocoBox):
    """The same with the pixels that it is of, where the file has them."""

    segmentation: Segmentation | None = None


class CocoCategory(Part):
    """What a box has in it."""

    id: Id
    name: str = Field(max_length=1000)


class CocoFile(Part):
    """The whole file."""

    images: tuple[CocoImage, ...]
    annotations: Sequence[CocoBox]
    categories: tuple[CocoCategory, ...]


class CocoBoxes(CocoFile):
    """Read for its boxes, whatever else it has."""

    annotations: tuple[CocoBox, ...]


class CocoInstances(CocoFile):
    """Read for the pixels, too."""

    annotations: tuple[CocoInstance, ...]


@dataclass(frozen=True)
class Boxes:
    """What is in one picture.

    Attributes:
        boxes: (n, 4), x and y of the upper left corner, width and height, in the picture's own pixels.
        labels: (n,) places of the model's classes.
        crowds: (n,) whether it is around many, of which any counts.
        outlines: the pixels of each; None where they were not asked for, or the file has none.
    """

    boxes: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    crowds: npt.NDArray[np.bool_]
    outlines: tuple[Outline, ...] | None = None


@dataclass(frozen=True)
class BoxedImages:
    """Pictures and what is in them.

    Attributes:
        images: the pictures.
        boxes: of each picture.
        classes: names of the model's classes, in order.
    """

    images: ImageFiles
    boxes: tuple[Boxes, ...]
    classes: tuple[str, ...]

    @property
    def outlined(self) -> bool:
        """Tells whether the pixels of what is in them are known."""
        return all(own.outlines is not None for own in self.boxes)


def read_boxed(
    folder: Path,
    path: Path,
    size: tuple[int, int, int],
    preparation: Preprocessing,
    classes: tuple[str, ...],
    limit: int | None = None,
    *,
    named: bool,
    outlined: bool = False,
) -> BoxedImages:
    """Reads boxes, finds their pictures, and looks at all of them.

    Args:
        folder: of the pictures.
        path: of the JSON file.
        size: (C, H, W) of the model's input.
        preparation: of the pictures.
        classes: names of the model's, in order.
        limit: take no more than this many, spread over the file; None for all.
        named: whether somebody named the classes. Boxes of other categories are passed over then, as MMDetection does;
            else the categories are the classes, in the file's order.
        outlined: whether the pixels of each box are read, where the file has them.

    Raises:
        MvdError: pycocotools is not installed, there is no such folder or file, it has another form, or a picture is
            missing or of another size.
    """
    if installed_version(PACKAGE) is None:
        raise MvdError(f"--boxes needs {PACKAGE}, not installed here", pip_command([PACKAGE], EXTRA))
    if not folder.is_dir():
        raise MvdError(f"{folder} is no folder", "--images takes the folder that the file names of --boxes are in")
    content = _read(path, CocoInstances if outlined else CocoBoxes)
    if not content.images:
        raise MvdError(f"{path} has no images", HINT)
    labels = _labels(path, content.categories, classes, named=named)
    boxes: dict[Id, list[CocoBox]] = {image.id: [] for image in content.images}
    if len(boxes) != len(content.images):
        raise MvdError(f"{path} has two images of one id", HINT)
    categories = {category.id for category in content.categories}
    for box in content.annotations:
        if box.image_id not in boxes or box.category_id not in categories:
            which = f"image {box.image_id!r}" if box.image_id not in boxes else f"category {box.category_id!r}"
            raise MvdError(f"{path} has a box of {which}, which it does not list", HINT)
        if box.category_id in labels:
            boxes[box.image_id].append(box)
    chosen = content.images
    if limit is not None and len(chosen) > limit:
        chosen = tuple(chosen[i] for i in spread(len(chosen), limit))
    files = _files(folder, path, chosen)
    images = ImageFiles.of(files, size, preparation)
    for image, file, fit in zip(chosen, files, images.fits, strict=True):
        if fit.picture != (image.height, image.width):
            height, width = fit.picture
            raise MvdError(
                f"{file} has {width}x{height} pixels, in {path.name} {image.width}x{image.height}",
                "boxes are in pixels of the image: give the images that were labelled",
            )
    known = [box for image in chosen for box in boxes[image.id]]
    without = sum(not _segmentation(box) for box in known)
    if outlined and 0 < without < len(known):
        raise MvdError(
            f"{without} of the {len(known)} boxes of {path.name} have no segmentation",
            "give each one, or none, and then boxes alone are measured",
        )
    found = tuple(_boxes(path, image, boxes[image.id], labels, outlined=outlined and not without) for image in chosen)
    if all(own.crowds.all() for own in found):
        raise MvdError(f"{path} has no box of a class of the model", "an average precision is one of boxes")
    return BoxedImages(images, found, classes)


def _read(path: Path, kind: type[CocoFile]) -> CocoFile:
    try:
        return kind.model_validate_json(read_limited(path, LARGEST_FILE, HINT))
    except ValidationError as error:
        raise MvdError(f"{path} is no file of COCO's: {wrong_values(error, kind)[0]}", HINT) from error


def _labels(path: Path, categories: Sequence[CocoCategory], classes: Sequence[str], *, named: bool) -> dict[Id, int]:
    """Returns the place of each category's class; categories of no class are left out."""
    if not named:
        if len(categories) != len(classes):
            raise MvdError(
                f"{path} has {len(categories)} categories, the model {len(classes)} classes, and nobody named these",
                "export it from a checkpoint that names its classes, or with --labels FILE",
            )
        return {category.id: place for place, category in enumerate(categories)}
    places = {name: place for place, name in enumerate(classes)}
    found = {category.id: places[category.name] for category in categories if category.name in places}
    if not found:
        raise MvdError(
            f"no category of {path} is a class of the model: {', '.join(item.name for item in categories[:3])}, ...",
            f"the model's are {', '.join(classes[:3])}{', ...' if len(classes) > 3 else ''}",
        )
    return found


def _files(folder: Path, path: Path, images: Sequence[CocoImage]) -> list[Path]:
    """Returns the pictures' files, each in the folder, whatever the names say."""
    found = []
    for image in images:
        name = PurePosixPath(image.file_name)
        if name.is_absolute() or ".." in name.parts or "\\" in image.file_name or "\0" in image.file_name:
            raise MvdError(f"{path} names {image.file_name!r}, which is no file of the folder", HINT)
        found.append(folder / name)
    missing = [file for file in found if not file.is_file()]
    if missing:
        raise MvdError(
            f"{len(missing)} of the {len(found)} images of {path.name} are not in {folder}; {missing[0]} is missing",
            "--images takes the folder that the file names are in",
        )
    return found


def _segmentation(box: CocoBox) -> Segmentation | None:
    """Returns the pixels of a box; files without any often have empty lists."""
    return (box.segmentation or None) if isinstance(box, CocoInstance) else None


def _outline(path: Path, image: CocoImage, box: CocoBox) -> Outline:
    try:
        own = _segmentation(box)
        assert own is not None  # by the caller
        return outline_of(own, image.height, image.width)
    except ValueError as error:
        raise MvdError(f"{path} has a segmentation in {image.file_name} that cannot be read: {error}", HINT) from error


def _boxes(path: Path, image: CocoImage, found: Sequence[CocoBox], labels: dict[Id, int], *, outlined: bool) -> Boxes:
    return Boxes(
        np.array([box.bbox for box in found], dtype=np.float64).reshape(-1, 4),
        np.array([labels[box.category_id] for box in found], dtype=np.int64),
        np.array([box.iscrowd for box in found], dtype=bool),
        tuple(_outline(path, image, box) for box in found) if outlined else None,
    )
