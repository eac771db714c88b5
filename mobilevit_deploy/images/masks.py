"""Pictures of a user's with a label map of each, a PNG of class numbers; everything read is untrusted input."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images.image_files import ImageFiles, pictures_below
from mobilevit_deploy.images.pictures import open_picture
from mobilevit_deploy.images.preparation import spread

IGNORED = 255  # of pixels that nobody labelled, in MMSegmentation's data sets and in the maps read here
NUMBERS = ("P", "L", "I;16", "I", "1")  # Pillow's modes whose pixels are one number: a palette's place, or a grey

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MaskedImages:
    """Pictures and their label maps.

    Attributes:
        images: the pictures.
        masks: the file of each label map.
        classes: names of the model's, in order.
        reduce_zero_label: 0 is no class, and 1 is class 0, as in ADE20K.
    """

    images: ImageFiles
    masks: tuple[Path, ...]
    classes: tuple[str, ...]
    reduce_zero_label: bool

    def mask(self, number: int) -> Labels:
        """Returns the label map of one picture, (H, W) of its own size, with ``IGNORED`` where there is no label.

        Raises:
            MvdError: it is no label map, of another size, or of a class that the model does not have.
        """
        file, (height, width) = self.masks[number], self.images.fits[number].picture
        with open_picture(file, (".png",), "a label map is a PNG of class numbers") as picture:
            if picture.mode not in NUMBERS:
                raise MvdError(
                    f"{file} is a picture of colours ({picture.mode})",
                    "a label map is a grey or palette PNG, whose pixels are the numbers of classes",
                )
            if picture.size != (width, height):  # before it is decoded, for it may be huge
                raise MvdError(
                    f"{file} has {picture.width}x{picture.height} pixels, its image {width}x{height}",
                    "give each label map the size of its image",
                )
            labels = np.asarray(picture).astype(np.int64)
        if self.reduce_zero_label:
            labels = np.where((labels == 0) | (labels == IGNORED), IGNORED, labels - 1)
        beyond = labels[(labels >= len(self.classes)) & (labels != IGNORED)]
        if beyond.size:
            raise MvdError(
                f"{file} has the class {beyond.max()}, the model {len(self.classes)} classes",
                f"classes begin at 0, and {IGNORED} is no class; --reduce-zero-label is for maps where 0 is none",
            )
        return labels


def read_masked(
    folder: Path,
    masks: Path,
    size: tuple[int, int, int],
    preparation: Preprocessing,
    classes: tuple[str, ...],
    limit: int | None = None,
    *,
    reduce_zero_label: bool = False,
) -> MaskedImages:
    """Finds pictures, and for each the label map of the same name but for ``.png``, and looks at all of them.

    Args:
        folder: of the pictures, or of folders of them.
        masks: of the label maps, in folders of the same names.
        size: (C, H, W) of the model's input.
        preparation: of the pictures.
        classes: names of the model's, in order.
        limit: take no more than this many, spread over the folder; None for all.
        reduce_zero_label: see ``MaskedImages``.

    Raises:
        MvdError: a folder that is none, no pictures, a picture without a label map, or one that is none of its.
    """
    for path in (folder, masks):
        if not path.is_dir():
            raise MvdError(f"{path} is no folder", "--images takes a folder of images, --masks one of label maps")
    files = pictures_below(folder)
    if not files:
        raise MvdError(f"{folder} has no images", "give a folder of images, or of folders of them")
    named = [(file, masks / file.relative_to(folder).with_suffix(".png")) for file in files]
    missing = [mask for _, mask in named if not mask.is_file()]
    if missing:
        raise MvdError(
            f"{len(missing)} of {len(files)} images have no label map; {missing[0]} is missing",
            "name each map as its image, with .png at the end",
        )
    if limit is not None and len(named) > limit:
        named = [named[i] for i in spread(len(named), limit)]
    images = ImageFiles.of([file for file, _ in named], size, preparation)
    found = MaskedImages(images, tuple(mask for _, mask in named), classes, reduce_zero_label)
    for number in range(len(named)):
        found.mask(number)
    return found
