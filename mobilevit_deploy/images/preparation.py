"""How a picture becomes what a model takes, as its card says: resized, cropped, stretched or padded, and normalised."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images.pictures import open_picture

# The families' evaluation at 224 px resizes the short side to 256 and crops the centre.
CROP = 224 / 256
WARP_FROM = 384  # from this size on the authors' evaluation crops nothing

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Fit:
    """Where a picture lies in a model's input: resized, at the top left; what is left of the input is padding.

    Attributes:
        picture: its own (height, width), in pixels.
        resized: (height, width) in the input.
    """

    picture: tuple[int, int]
    resized: tuple[int, int]


def fit(picture: tuple[int, int], size: tuple[int, int], preparation: Preprocessing) -> Fit:
    """Returns how a whole picture fits into an input, each (height, width): stretched, or with its sides' ratio kept.

    Sides are rounded as MMCV's ``rescale_size`` rounds them.
    """
    if preparation.warp:
        return Fit(picture, size)
    scale = min(size[0] / picture[0], size[1] / picture[1])
    height, width = (max(1, int(side * scale + 0.5)) for side in picture)
    return Fit(picture, (height, width))


def prepare_picture(file: Path, size: tuple[int, int, int], preparation: Preprocessing) -> Floats:
    """Returns one picture, (C, H, W) float32, normalised; raises MvdError for what is none."""
    channels = size[0]
    if channels not in (1, 3):
        raise MvdError(f"the model takes {channels} channels, an image has 3 or 1", "give the arrays in a .npz")
    with open_picture(file) as opened:
        if opened.mode[0] in "IF":  # Pillow would clip these to 8 bits, to white
            raise MvdError(f"{file} has more than 8 bits a channel", "save a copy with 8 bits")
        turned = ImageOps.exif_transpose(opened)
        image = resize(turned.convert("L" if channels == 1 else "RGB"), size[1:], preparation)
    pixels = np.asarray(image, dtype=np.uint8)  # (H, W) or (H, W, C)
    normalised = normalise(np.atleast_3d(pixels).transpose(2, 0, 1), preparation)
    below, right = (whole - side for whole, side in zip(size[1:], normalised.shape[1:], strict=True))
    return np.pad(normalised, ((0, 0), (0, below), (0, right)))


def resize(image: Image.Image, size: Sequence[int], preparation: Preprocessing) -> Image.Image:
    """Resizes, to the image's own shape or not, and crops the centre, as the model's own evaluation does.

    Where a card does not say how much is kept, it is a family's: its authors crop below 384 px, and warp from there on.
    A picture that is padded stays smaller than ``size``, (height, width).
    """
    height, width = size
    kernel = Image.Resampling[preparation.interpolation.upper()]
    if preparation.pad:
        resized = fit((image.height, image.width), (height, width), preparation).resized
        return image.resize(resized[::-1], kernel)
    crop, warp = kept_share(size, preparation)
    across, down = width / image.width, height / image.height
    if not warp:
        across = down = max(across, down)
    larger = (max(width, round(image.width * across / crop)), max(height, round(image.height * down / crop)))
    image = image.resize(larger, kernel)
    left, top = round((larger[0] - width) / 2), round((larger[1] - height) / 2)
    return image.crop((left, top, left + width, top + height))


def kept_share(size: Sequence[int], preparation: Preprocessing) -> tuple[float, bool]:
    """Returns which share of the resized picture is kept, and whether its sides take the ratio of the input's.

    Args:
        size: (height, width) of the input.
        preparation: of pictures that are not padded.
    """
    if preparation.crop is not None:
        return preparation.crop, preparation.warp
    return (1.0, True) if min(size) >= WARP_FROM else (CROP, False)


def whole(preparation: Preprocessing) -> Preprocessing:
    """Returns how the same model is given whole pictures, none of them cropped, as a head takes them."""
    return preparation.model_copy(update={"pad": not preparation.warp, "crop": 1.0})


def normalise(pixels: npt.NDArray[np.uint8], preparation: Preprocessing) -> Floats:
    """Returns (..., C, H, W) pixels of 0 to 255, RGB or gray, as float32, normalised, in the model's own order."""
    count = pixels.shape[-3]
    mean = np.array(preparation.mean[:count], dtype=np.float64).reshape(-1, 1, 1)
    std = np.array(preparation.std[:count], dtype=np.float64).reshape(-1, 1, 1)
    normalised: Floats = ((pixels / 255 - mean) / std).astype(np.float32)
    return normalised[..., ::-1, :, :].copy() if preparation.color == "BGR" and count == 3 else normalised


def known(preprocessing: Preprocessing | None, what: str) -> Preprocessing:
    """Returns a card's preprocessing; raises MvdError where nobody said it."""
    if preprocessing is None:
        raise MvdError(
            f"{what} need a normalisation, and this model has no card that says it",
            "add --mean and --std to an export, or give a .npz with images (N, C, H, W) float32, normalised already",
        )
    return preprocessing


def spread(count: int, limit: int) -> npt.NDArray[np.int64]:
    """Returns indices over the whole range, so that a part of sorted class folders has images of every class."""
    return np.linspace(0, count - 1, limit).round().astype(np.int64)
