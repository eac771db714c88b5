"""A synthetic set: circles, squares and triangles of any colour on textures, with label maps and boxes.

Scenes are made of a seed alone. ``write_set`` writes them as MMSegmentation and MMDetection users have theirs: a folder
of images, one of palette PNGs, and a JSON file in COCO's format.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

NAMES = ("circle", "square", "triangle")
LABELS = ("background", *NAMES)
COLORS = ((40, 40, 40), (230, 80, 60), (60, 140, 230), (240, 200, 60))  # of LABELS, for whoever draws them
LEAST_VISIBLE = 0.6  # of a shape that others cover; below, another place is looked for

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """One picture and what is in it.

    Attributes:
        pixels: (H, W, 3).
        labels: (H, W), places in ``LABELS``.
        boxes: (n, 4), x1, y1, x2, y2 in pixels.
        classes: (n,), places in ``NAMES``.
    """

    pixels: Pixels
    labels: Pixels
    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]


def make_scene(rng: np.random.Generator, height: int, width: int, sides: tuple[float, float], most: int) -> Scene:
    """Returns a scene of one to ``most`` shapes, each between two ``sides`` in pixels large."""
    pixels = _texture(rng, height, width)
    numbers = np.zeros((height, width), np.uint8)  # which shape covers a pixel, from 1 on
    classes: list[int] = []
    whole: list[Pixels] = []
    for _ in range(int(rng.integers(1, most + 1))):
        kind, shape = int(rng.integers(len(NAMES))), Image.new("L", (width, height))
        side = rng.uniform(*sides)
        if side > min(height, width) - 2:
            continue
        left, top = rng.uniform(1, width - side - 1), rng.uniform(1, height - side - 1)
        _draw(ImageDraw.Draw(shape), NAMES[kind], left, top, side)
        covered = np.asarray(shape) > 127
        left_over = np.where(covered, 0, numbers)
        if any((left_over == i + 1).sum() < LEAST_VISIBLE * shown.sum() for i, shown in enumerate(whole)):
            continue
        numbers = np.where(covered, len(classes) + 1, numbers).astype(np.uint8)
        pixels = np.where(covered[..., None], _texture(rng, height, width), pixels)
        classes.append(kind)
        whole.append(covered.astype(np.uint8))
    noisy = pixels + rng.normal(0, 6, pixels.shape)
    labels = np.array([0, *(kind + 1 for kind in classes)], np.uint8)[numbers]
    boxes = [_box(shown) for shown in whole]
    return Scene(
        noisy.clip(0, 255).astype(np.uint8), labels, np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, int)
    )


def _texture(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float64]:
    """Returns a colour with coarse noise of another, (H, W, 3)."""
    cells = int(rng.integers(2, 12))
    noise = rng.integers(0, 256, (cells, cells), np.uint8)
    share = np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)) / 255
    first, second = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
    mixed: npt.NDArray[np.float64] = first + (0.5 * share[..., None]) * (second - first)
    return mixed


def _draw(draw: ImageDraw.ImageDraw, name: str, left: float, top: float, side: float) -> None:
    right, bottom = left + side, top + side
    if name == "circle":
        draw.ellipse((left, top, right, bottom), fill=255)
    elif name == "square":
        draw.rectangle((left, top, right, bottom), fill=255)
    else:
        draw.polygon([((left + right) / 2, top), (right, bottom), (left, bottom)], fill=255)


def _box(shown: Pixels) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def write_set(folder: Path, count: int, seed: int) -> None:
    """Writes ``images/``, ``masks/`` and ``instances.json``; pictures of many shapes and sizes, 96 to 192 px long."""
    rng = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        longest = int(rng.integers(96, 193))
        height, width = longest, int(longest * rng.uniform(0.7, 1))
        if rng.random() < 0.5:
            height, width = width, height
        scene = make_scene(rng, height, width, (0.4 * longest, 0.78 * longest), most=2)
        name = f"{number:04d}.png"
        Image.fromarray(scene.pixels).save(folder / "images" / name)
        mask = Image.fromarray(scene.labels, "P")
        mask.putpalette([part for color in COLORS for part in color])
        mask.save(folder / "masks" / name)
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for (x1, y1, x2, y2), kind in zip(scene.boxes.tolist(), scene.classes.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": number, "category_id": kind + 1, "iscrowd": 0,
                    "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1),
                }
            )  # fmt: skip
    categories = [{"id": i, "name": name} for i, name in enumerate(NAMES, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content))
