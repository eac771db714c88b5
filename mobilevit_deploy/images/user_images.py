"""Images of the user's own, prepared as a model's authors prepare them; everything read is untrusted input."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images.pictures import SUFFIXES
from mobilevit_deploy.images.preparation import Floats, known, normalise, prepare_picture, spread
from mobilevit_deploy.system.array_files import claimed_bytes, is_bomb

LARGEST_ARRAY = 4 * 2**30  # bytes, uncompressed; a small .npz may claim to hold more than the memory does

ARRAYS = ("images", "labels")  # of an array file


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
            chosen = spread(len(found.images), limit)
            found = ImageSet(found.images[chosen], None if found.labels is None else found.labels[chosen])
    else:
        raise MvdError(f"{path} is no folder of images and no array file", "give a folder, a .npz or a .npy")
    return found


def _read_folder(
    path: Path, size: tuple[int, int, int], preprocessing: Preprocessing | None, limit: int | None
) -> ImageSet:
    preparation = known(preprocessing, "images of a folder")
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
        files = [files[i] for i in spread(len(files), limit)]
    images = np.stack([prepare_picture(file, size, preparation) for file, _ in files])
    if not folders:
        return ImageSet(images)
    return ImageSet(images, np.array([number for _, number in files]), tuple(folder.name for folder in folders))


def _files(folder: Path) -> list[Path]:
    """Returns everything in a folder but hidden files; what is no image is an error of its own, not left out."""
    return sorted(item for item in folder.iterdir() if item.is_file() and not item.name.startswith("."))


def _read_arrays(path: Path, size: tuple[int, int, int], preprocessing: Preprocessing | None) -> ImageSet:
    arrays = _load(path)
    if "images" not in arrays:
        raise MvdError(f"{path} has no array called images", "np.savez(FILE, images=..., labels=...) names them")
    images, labels = arrays["images"], arrays.get("labels")
    channels, height, width = size
    if images.dtype == np.uint8 and images.shape[1:] == (height, width, channels):
        if len(images):
            images = normalise(images.transpose(0, 3, 1, 2), known(preprocessing, f"the uint8 images of {path}"))
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
