"""Images of the user's own, prepared as a model's authors prepare them; everything read is untrusted input."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.system.array_files import claimed_bytes, is_bomb

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
# Of the content, whatever the name: Pillow knows formats that run other programs, such as PostScript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
# The families' evaluation at 224 px resizes the short side to 256 and crops the centre.
CROP = 224 / 256
WARP_FROM = 384  # from this size on the authors' evaluation crops nothing
LARGEST_ARRAY = 4 * 2**30  # bytes, uncompressed; a small .npz may claim to hold more than the memory does
LARGEST_IMAGE = 100_000_000  # pixels; more is a decompression bomb, or nothing that a phone took

ARRAYS = ("images", "labels")  # of an array file

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ImageSet:
    """Images ready for a model.

    Attributes:
        images: (N, C, H, W) float32, normalised.
        labels: (N,) class numbers, or None where nobody said.
        classes: names of the classes by number, from folder names; empty without.
    """

    images: Floats
    labels: npt.NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()


def read_images(
    path: Path, size: tuple[int, int, int], preprocessing: Preprocessing | None, limit: int | None = None
) -> ImageSet:
    """Reads a folder of images, or an array file.

    A folder has one folder of images per class, numbered in the order of their names, or images without labels. A
    ``.npz`` has ``images`` and perhaps ``labels``, a ``.npy`` images alone: (N, C, H, W) floats are taken as normalised
    already, (N, H, W, C) uint8 are normalised here.

    Args:
        path: folder, ``.npz`` or ``.npy``.
        size: (C, H, W) of the model's input.
        preprocessing: of the model's card; None for a model whose normalisation is unknown.
        limit: read no more than this many images, spread over the folder; None for all.

    Raises:
        MvdError: nothing there, a file that is no image, or arrays of another shape.
    """
    if path.is_dir():
        found = _read_folder(path, size, preprocessing, limit)
    elif path.suffix in (".npy", ".npz") and path.is_file():
        found = _read_arrays(path, size, preprocessing)
        if limit is not None and len(found.images) > limit:
            chosen = _spread(len(found.images), limit)
            found = ImageSet(found.images[chosen], None if found.labels is None else found.labels[chosen])
    else:
        raise MvdError(f"{path} is no folder of images and no array file", "give a folder, a .npz or a .npy")
    return found


def _read_folder(
    path: Path, size: tuple[int, int, int], preprocessing: Preprocessing | None, limit: int | None
) -> ImageSet:
    preparation = _known(preprocessing, "images of a folder")
    folders = sorted(item for item in path.iterdir() if item.is_dir() and not item.name.startswith("."))
    files = [(file, number) for number, folder in enumerate(folders) for file in _files(folder)]
    loose = _files(path)
    if folders and loose:
        raise MvdError(f"{path} has class folders and images beside them", "put every image into a class folder")
    if not folders:
        files = [(file, -1) for file in loose]
    if not files:
        raise MvdError(
            f"{path} has no images", f"it takes {', '.join(sorted(SUFFIXES))}, or one folder of them a class"
        )
    if limit is not None and len(files) > limit:
        files = [files[i] for i in _spread(len(files), limit)]
    images = np.stack([_normalise(_open(file, size, preparation), preparation) for file, _ in files])
    if not folders:
        return ImageSet(images)
    return ImageSet(images, np.array([number for _, number in files]), tuple(folder.name for folder in folders))


def _files(folder: Path) -> list[Path]:
    """Returns everything in a folder but hidden files; what is no image is an error of its own, not left out."""
    return sorted(item for item in folder.iterdir() if item.is_file() and not item.name.startswith("."))


def _spread(count: int, limit: int) -> npt.NDArray[np.int64]:
    """Returns indices over the whole range, so that a part of sorted class folders has images of every class."""
    return np.linspace(0, count - 1, limit).round().astype(np.int64)


def _open(file: Path, size: tuple[int, int, int], preparation: Preprocessing) -> npt.NDArray[np.uint8]:
    """Returns one image, (C, H, W)."""
    channels = size[0]
    if channels not in (1, 3):
        raise MvdError(f"the model takes {channels} channels, an image has 3 or 1", "give the arrays in a .npz")
    if file.suffix.lower() not in SUFFIXES:
        raise MvdError(
            f"{file} is no image", f"leave it out of the folder; images end in {', '.join(sorted(SUFFIXES))}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images, and of odd metadata
            with Image.open(file, formats=FORMATS) as opened:
                if opened.width * opened.height > LARGEST_IMAGE:
                    raise MvdError(f"{file} has {opened.width}x{opened.height} pixels", "give a smaller copy of it")
                turned = ImageOps.exif_transpose(opened)
                image = _resize(turned.convert("L" if channels == 1 else "RGB"), size[1:], preparation)
    except UnidentifiedImageError as error:
        raise MvdError(f"{file} is no image that can be read", "leave it out of the folder") from error
    # Pillow's decoders raise all of these for damaged files.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, Image.DecompressionBombError) as error:
        raise MvdError(f"{file} is damaged: {error}", "leave it out of the folder") from error
    pixels = np.asarray(image, dtype=np.uint8)  # (H, W) or (H, W, C)
    return np.atleast_3d(pixels).transpose(2, 0, 1)


def _resize(image: Image.Image, size: Sequence[int], preparation: Preprocessing) -> Image.Image:
    """Resizes, to the image's own shape or not, and crops the centre, as the model's own evaluation does.

    Where a card does not say how much is kept, it is a family's: its authors crop below 384 px, and warp from there on.
    """
    height, width = size
    kernel = Image.Resampling[preparation.interpolation.upper()]
    crop, warp = preparation.crop, preparation.warp
    if crop is None:
        crop, warp = (1.0, True) if min(height, width) >= WARP_FROM else (CROP, False)
    across, down = width / image.width, height / image.height
    if not warp:
        across = down = max(across, down)
    larger = (max(width, round(image.width * across / crop)), max(height, round(image.height * down / crop)))
    image = image.resize(larger, kernel)
    left, top = round((larger[0] - width) / 2), round((larger[1] - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _normalise(pixels: npt.NDArray[np.uint8], preparation: Preprocessing) -> Floats:
    """Returns (..., C, H, W) pixels of 0 to 255, RGB or gray, as float32, normalised, in the model's own order."""
    count = pixels.shape[-3]
    mean = np.array(preparation.mean[:count], dtype=np.float64).reshape(-1, 1, 1)
    std = np.array(preparation.std[:count], dtype=np.float64).reshape(-1, 1, 1)
    normalised: Floats = ((pixels / 255 - mean) / std).astype(np.float32)
    return normalised[..., ::-1, :, :].copy() if preparation.color == "BGR" and count == 3 else normalised


def _known(preprocessing: Preprocessing | None, what: str) -> Preprocessing:
    if preprocessing is None:
        raise MvdError(
            f"{what} need a normalisation, and this model has no card that says it",
            "add --mean and --std to an export, or give a .npz with images (N, C, H, W) float32, normalised already",
        )
    return preprocessing


def _read_arrays(path: Path, size: tuple[int, int, int], preprocessing: Preprocessing | None) -> ImageSet:
    arrays = _load(path)
    if "images" not in arrays:
        raise MvdError(f"{path} has {', '.join(arrays) or 'nothing'}", "a .npz needs images, and may have labels")
    images, labels = arrays["images"], arrays.get("labels")
    channels, height, width = size
    if images.dtype == np.uint8 and images.shape[1:] == (height, width, channels):
        if len(images):
            images = _normalise(images.transpose(0, 3, 1, 2), _known(preprocessing, f"the uint8 images of {path}"))
    elif images.dtype.kind != "f" or images.shape[1:] != size:
        raise MvdError(
            f"the images of {path} are {images.dtype} of shape {images.shape}",
            f"this model takes (N, {channels}, {height}, {width}) float32, or (N, {height}, {width}, {channels}) uint8",
        )
    if not len(images):
        raise MvdError(f"{path} has no images", "give at least one")
    images = images.astype(np.float32, copy=False)
    if not np.isfinite(images).all():
        raise MvdError(f"the images of {path} have NaN or infinite values", "look at how they were normalised")
    if labels is not None:
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0:
            raise MvdError(
                f"the labels of {path} are {labels.dtype} of shape {labels.shape}",
                f"give {len(images)} class numbers from 0 on, as integers",
            )
        labels = labels.astype(np.int64)
    return ImageSet(images, labels)


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Returns the arrays of a file by name, without unpickling anything."""
    try:
        _check_claims(path)
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"images": loaded}
        with loaded:
            return {name: loaded[name] for name in ARRAYS if name in loaded.files}
    except MvdError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds for what is damaged
        raise MvdError(
            f"{path} is no array file that can be read: {error}",
            "write it with numpy.savez(path, images=..., labels=...)",
        ) from error


def _check_claims(path: Path) -> None:
    """Raises MvdError for arrays that take too much memory, and ValueError for one larger than its bytes."""
    claimed, size = claimed_bytes(path, lambda name: Path(name).stem in ARRAYS), path.stat().st_size
    if claimed > LARGEST_ARRAY:
        raise MvdError(f"{path} holds {claimed / 2**30:.1f} GB", f"give at most {LARGEST_ARRAY >> 30} GB of images")
    if is_bomb(claimed, size):
        raise MvdError(f"{path} unpacks to {claimed // size} times its size", "images do not; is the file hostile?")
