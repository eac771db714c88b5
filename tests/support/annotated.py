"""Small folders of images with what is in them, as users of MMSegmentation and MMDetection have them."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask

Pixels = npt.NDArray[np.uint8]


def pictures(count: int, height: int, width: int, seed: int = 0) -> list[Pixels]:
    """Returns smooth pictures of many colours, (H, W, 3) each."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 6, 3), np.uint8)
    return [np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.BILINEAR)) for part in small]


def write_pictures(folder: Path, images: list[Pixels]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(images):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def write_masks(folder: Path, masks: list[Pixels]) -> Path:
    """Writes label maps, every second one with a palette."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, labels in enumerate(masks):
        image = Image.fromarray(labels)
        if number % 2:
            image.putpalette([7, 7, 7] * 256)  # what a colour says does not matter
        image.save(folder / f"{number}.png")
    return folder


def coco(
    sizes: Sequence[tuple[int, int]],
    boxes: Sequence[tuple[int, int, tuple[float, float, float, float]]],
    names: Sequence[str],
) -> dict[str, Any]:
    """Returns what a file of COCO's holds.

    Args:
        sizes: (height, width) of the images 0.png, 1.png and so on.
        boxes: number of the image, place of the name, and x, y, width, height of each.
        names: of the categories, whose ids have gaps, as COCO's have.
    """
    return {
        "info": {"year": 2017},
        "images": [
            {"id": 100 + number, "file_name": f"{number}.png", "height": height, "width": width}
            for number, (height, width) in enumerate(sizes)
        ],
        "annotations": [
            {"id": number, "image_id": 100 + image, "category_id": 3 * place + 1, "bbox": list(box), "iscrowd": 0}
            for number, (image, place, box) in enumerate(boxes)
        ],
        "categories": [{"id": 3 * place + 1, "name": name} for place, name in enumerate(names)],
    }


def write_boxes(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(json.dumps(content))
    return path


def pixels_of(outline: Any) -> npt.NDArray[np.bool_]:
    """Returns which pixels are those of an outline, (H, W)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy 2, about pycocotools' own arrays
        found: npt.NDArray[np.bool_] = mask.decode(outline).astype(bool)
    return found
