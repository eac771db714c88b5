"""The pixels of an instance, as annotations in COCO's format tell them: by polygons or by lengths of runs.

Source: https://cocodataset.org/#format-data; ``rleFrString`` of pycocotools' maskApi.c, whose own reader trusts what it
reads: a file that anyone may have written is looked at before.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

# As pycocotools takes it: ``size``, (height, width), and ``counts``, its own text of them.
Outline = Mapping[str, Any]

Coordinate = Annotated[float, Field(ge=-(2.0**20), le=2.0**20, allow_inf_nan=False)]
Polygon = Annotated[list[Coordinate], Field(min_length=6, max_length=2**14)]  # x and y in turn
LONGEST_TEXT = 2**22  # letters; a picture of 12 million pixels has a few thousand
SHIFTS = 30  # bits that one length may have


class Runs(BaseModel):
    """Lengths of runs, down the columns, that are outside and inside in turn; ``size`` is (height, width)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    size: tuple[int, int]
    counts: Annotated[str, Field(max_length=LONGEST_TEXT)] | list[Annotated[int, Field(ge=0, le=2**31 - 1)]]


Segmentation = list[Polygon] | Runs


def outline_of(segmentation: Segmentation, height: int, width: int) -> Outline:
    """Returns the pixels of an instance in a picture of this size; raises ValueError where they are no such picture's.

    Points beyond the picture are moved to its border.
    """
    from pycocotools import mask

    if isinstance(segmentation, Runs):
        given = segmentation.counts
        counts = _lengths(given) if isinstance(given, str) else given
        if segmentation.size != (height, width) or sum(counts) != height * width:
            raise ValueError(f"its runs are not those of {width}x{height} pixels")
        found: Outline = mask.frPyObjects({"size": [height, width], "counts": list(counts)}, height, width)
        return found
    if any(len(polygon) % 2 for polygon in segmentation):
        raise ValueError("a polygon of it has an x without a y")
    border = np.array([width, height], dtype=np.float64)
    inside = [np.clip(np.reshape(polygon, (-1, 2)), 0, border).reshape(-1).tolist() for polygon in segmentation]
    whole: Outline = mask.merge(mask.frPyObjects(inside, height, width))
    return whole


def outline_of_pixels(pixels: npt.NDArray[np.bool_]) -> Outline:
    """Returns those that are true, of a picture's, (height, width)."""
    from pycocotools import mask

    found: Outline = mask.encode(np.asfortranarray(pixels, dtype=np.uint8))
    return found


def area_of(outline: Outline) -> float:
    """Returns how many pixels there are."""
    from pycocotools import mask

    return float(mask.area(outline))


def _lengths(text: str) -> Sequence[int]:
    """Returns the lengths of runs in pycocotools' text: five bits a letter; from the fourth on less the last but one.

    Raises:
        ValueError: it is no such text.
    """
    found: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - ord("0")
        if not 0 <= bits < 64 or shift > SHIFTS:
            raise ValueError("its runs are no text of pycocotools")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        value -= (1 << shift) if bits & 16 else 0
        found.append(value + (found[-2] if len(found) > 2 else 0))
        value = shift = 0
        if found[-1] < 0:
            raise ValueError("its runs are no text of pycocotools")
    if shift:
        raise ValueError("its runs are no text of pycocotools")
    return found
