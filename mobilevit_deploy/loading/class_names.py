"""The names and colours of classes that a checkpoint tells, read as untrusted input."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LONGEST_NAME = 200  # letters; the longest of ADE20K's has 21
Color = tuple[int, int, int]


@dataclass(frozen=True)
class ClassNames:
    """What the classes of a model are called, in their order.

    Attributes:
        names: each once; empty where nobody tells them.
        colors: red, green and blue, 0 to 255, of each; empty where nobody tells them.
    """

    names: tuple[str, ...] = ()
    colors: tuple[Color, ...] = ()


def find_class_names(meta: Mapping[str, Any], count: int) -> tuple[ClassNames, tuple[str, ...]]:
    """Returns what a checkpoint tells of its classes, and notes on what of it was left aside.

    ``meta`` of MMDetection 2 and MMSegmentation 0 has ``CLASSES`` and ``PALETTE``; that of MMDetection 3 and
    MMSegmentation 1 has ``dataset_meta`` with ``classes`` and ``palette``.

    Args:
        meta: the checkpoint's entry of that name.
        count: of the classes that the model has.
    """
    given = meta.get("dataset_meta")
    told = {str(key).lower(): value for key, value in (given if isinstance(given, Mapping) else meta).items()}
    names, colors = _names(told.get("classes"), count), _colors(told.get("palette"), count)
    notes = [
        f"the checkpoint's {what} are not {count}, one for each class, and were left aside"
        for what, key, found in (("class names", "classes", names), ("colours", "palette", colors))
        if told.get(key) and not found
    ]
    return ClassNames(names, colors), tuple(notes)


def _names(value: object, count: int) -> tuple[str, ...]:
    if isinstance(value, str):  # of a single class, written without its comma
        value = (value,)
    if not isinstance(value, list | tuple) or len(value) != count:
        return ()
    if not all(isinstance(name, str) and name.isprintable() and 0 < len(name) <= LONGEST_NAME for name in value):
        return ()
    return tuple(value) if len(set(value)) == count else ()


def _colors(value: object, count: int) -> tuple[Color, ...]:
    if not isinstance(value, list | tuple) or len(value) != count:
        return ()
    found = []
    for color in value:
        if not isinstance(color, list | tuple) or len(color) != 3:
            return ()
        if not all(type(part) is int and 0 <= part <= 255 for part in color):
            return ()
        found.append((color[0], color[1], color[2]))
    return tuple(found)
