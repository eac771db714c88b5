"""What of an export is said to Android's own tools."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.litert.tflite.app_metadata import COLORS, AppNote, ImageNote

PIXELS = 255  # of a value 1


def app_note(request: ConversionRequest, metadata: Mapping[str, str]) -> AppNote:
    """Returns it.

    Args:
        request: of the conversion.
        metadata: what is noted of the export, texts by key.
    """
    labels = request.app.labels or tuple(_noted(metadata, "mvd.classes") or ())
    shape = request.outputs[0].shape
    return AppNote(
        metadata.get("mvd.model", ""),
        metadata.get("mvd.description", ""),
        tuple(item.name for item in request.inputs) or (request.input.name,),
        tuple(output.name for output in request.outputs),
        _image(request, metadata),
        labels if len(shape) == 2 and shape[1] == len(labels) else (),
    )


def _image(request: ConversionRequest, metadata: Mapping[str, str]) -> ImageNote | None:
    """Returns how an image becomes the input; None for an array that no tool of Android's makes of one.

    They know arrays with the channels last, and RGB or gray.
    """
    image, shape = request.app.image, request.input.shape
    if image:  # normalised inside
        size: Sequence[int] = shape[1:3]
        return ImageNote(image.color, size[1], size[0], (0.0,), (1.0,)) if image.color in COLORS else None
    how = _noted(metadata, "mvd.preprocessing")
    if request.inputs or metadata.get("mvd.layout") != "nhwc" or how is None or shape[3] not in (1, 3):
        return None
    color = "GRAYSCALE" if shape[3] == 1 else how.get("color", "RGB")
    if color not in COLORS:
        return None
    mean, std = (tuple(PIXELS * value for value in how[name][: shape[3]]) for name in ("mean", "std"))
    return ImageNote(color, shape[2], shape[1], mean, std)


def _noted(metadata: Mapping[str, str], key: str) -> Any:
    """Returns an entry that is JSON; None without one."""
    return json.loads(metadata[key]) if key in metadata else None
