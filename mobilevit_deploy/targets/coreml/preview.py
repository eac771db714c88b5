"""What Xcode's preview of a segmenter reads from a package: that it is one, and its classes' names and colours.

Source: "Xcode Model Preview Types" in coremltools' guide: the type ``imageSegmenter``, for an image as input and an
array of the image's size as output, with ``{'labels': ['LABEL', ...], 'colors': ['HEXCODE', ...]}``. Whether a colour
begins with # it does not say; here it does, as in HTML, and both are read. Apple's own example, "Using Core ML for
semantic image segmentation", takes the labels from there too.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mobilevit_deploy.errors import ArtifactError

TYPE_KEY, PARAMETERS_KEY = "com.apple.coreml.model.preview.type", "com.apple.coreml.model.preview.params"
SEGMENTER = "imageSegmenter"
LONGEST_TEXT = 2**22  # characters; of a thousand classes there are some ten thousand
HEXCODE = re.compile(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")

Color = tuple[int, int, int]


@dataclass(frozen=True)
class SegmenterPreview:
    """The classes of a label map.

    Attributes:
        labels: by the number that a pixel has; empty where nobody named them.
        colors: red, green and blue, 0 to 255, of each; empty where Xcode chooses.
    """

    labels: tuple[str, ...] = ()
    colors: tuple[Color, ...] = ()


def write_preview(labels: Sequence[str], colors: Sequence[Color]) -> dict[str, str]:
    """Returns the metadata of a package whose output is a label map.

    Args:
        labels: of the classes, in order; none where nobody named them.
        colors: red, green and blue of each, 0 to 255; none to let Xcode choose.
    """
    parameters: dict[str, list[str]] = {}
    if labels:
        parameters["labels"] = list(labels)
    if colors:
        parameters["colors"] = ["#{:02X}{:02X}{:02X}".format(*color) for color in colors]
    entries = {TYPE_KEY: SEGMENTER}
    if parameters:
        entries[PARAMETERS_KEY] = json.dumps(parameters)
    return entries


def read_preview(metadata: Mapping[str, str], name: str) -> SegmenterPreview | None:
    """Returns what a package says for its preview; None where it is no segmenter's.

    Args:
        metadata: of the package, as it came.
        name: of the package.

    Raises:
        ArtifactError: it is malformed, or has other numbers of labels and colours.
    """
    if metadata.get(TYPE_KEY) != SEGMENTER:
        return None
    text = metadata.get(PARAMETERS_KEY, "{}")
    try:
        if len(text) > LONGEST_TEXT:
            raise ValueError(f"{len(text):,} characters")
        parameters = json.loads(text)
        if not isinstance(parameters, dict):
            raise ValueError("no object")
        labels = _texts(parameters, "labels")
        colors = tuple(map(_color, _texts(parameters, "colors")))
        if labels and colors and len(labels) != len(colors):
            raise ValueError(f"{len(labels)} labels and {len(colors)} colours")
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{name} names the classes of its label map in a form that Xcode does not read: {error}", "export it again"
        ) from error
    return SegmenterPreview(labels, colors)


def _texts(parameters: Mapping[str, object], key: str) -> tuple[str, ...]:
    values = parameters.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{key} is no list of texts")
    return tuple(values)


def _color(text: str) -> Color:
    parts = HEXCODE.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text[:20]!r} is no colour")
    red, green, blue = (int(part, 16) for part in parts.groups())
    return red, green, blue
