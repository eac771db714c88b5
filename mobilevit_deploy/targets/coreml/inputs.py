"""What a package is fed with and returns, as coremltools is told, and what it makes of the names."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mobilevit_deploy.catalog.tensor_input import TensorInput
from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.targets.artifact import ConversionRequest

# What an array at the border may be on every iOS: of truth values coremltools makes float32, and a cast behind it.
TYPES = {"float32": np.float32, "float16": np.float32, "int32": np.int32, "int64": np.int32, "bool": bool}


def check_types(inputs: Sequence[TensorInput]) -> None:
    """Raises ConversionError for an input of a type that no package takes."""
    for item in inputs:
        if item.type not in TYPES:
            raise ConversionError(
                f"Core ML takes no arrays of {item.type}, as the input {item.name} is", "give it as int32, with a range"
            )


def input_types(coremltools: Any, request: ConversionRequest) -> list[Any]:
    """Returns one array for each input that the user named, else the one image, as pixels where an app gives those."""
    if request.inputs:
        return [coremltools.TensorType(item.name, shape=item.shape, dtype=TYPES[item.type]) for item in request.inputs]
    name, shape = request.input.name, request.input.shape
    if request.sizes:
        shapes = [shape, *((*shape[:2], *size) for size in request.sizes)]
        shape = coremltools.EnumeratedShapes(shapes=shapes, default=request.input.shape)
    if request.app.image is None:
        return [coremltools.TensorType(name, shape=shape, dtype=np.float32)]
    layout = getattr(coremltools.colorlayout, request.app.image.color)
    # Scale 1 and no bias: the graph normalises.
    return [coremltools.ImageType(name, shape=shape, color_layout=layout)]


def note_renamed(description: Any, request: ConversionRequest) -> tuple[str, ...]:
    """Returns a note of outputs that coremltools named otherwise, such as one that begins with a digit."""
    pairs = zip(request.outputs, description.output, strict=True)
    renamed = [f"{asked.name} is {written.name}" for asked, written in pairs if asked.name != written.name]
    return (f"outputs have other names in the package: {', '.join(renamed)}",) if renamed else ()
