"""Pictures of a user's that stay on disk until they are run: a thousand of 512 px would take 3 GB of memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.images.pictures import SUFFIXES, picture_size
from mobilevit_deploy.images.preparation import Fit, Floats, fit, prepare_picture, whole


@dataclass(frozen=True)
class ImageFiles:
    """Whole pictures, none of them cropped: ``files[2:5]`` are three of them, (3, C, H, W), normalised.

    Attributes:
        files: of the pictures.
        fits: where each lies in the model's input.
        size: (C, H, W) of that input.
        preparation: of the pictures.
    """

    files: tuple[Path, ...]
    fits: tuple[Fit, ...]
    size: tuple[int, int, int]
    preparation: Preprocessing

    @classmethod
    def of(cls, files: Sequence[Path], size: tuple[int, int, int], preparation: Preprocessing) -> "ImageFiles":
        """Looks at how large each is; raises MvdError for a file that is no picture."""
        preparation = whole(preparation)
        fits = tuple(fit(picture_size(file), size[1:], preparation) for file in files)
        return cls(tuple(files), fits, size, preparation)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, part: slice) -> Floats:
        return np.stack([prepare_picture(file, self.size, self.preparation) for file in self.files[part]])


def pictures_below(folder: Path) -> list[Path]:
    """Returns the pictures in a folder and in those below it, in the order of their names; hidden ones are left out."""
    found = (file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    return sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(folder).parts))
