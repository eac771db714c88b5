"""What a model says of its inputs and outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.specification import color_space_name

Kind = Literal["array", "image", "number", "label", "probabilities", "state", "other"]

_SCALARS: Mapping[str | None, Kind] = {"stringType": "label", "int64Type": "label", "doubleType": "number"}


@dataclass(frozen=True)
class Feature:
    """An input or an output of a model.

    Attributes:
        name: of the feature.
        kind: ``image`` for pixel values 0 to 255; ``number`` for one double, such as a threshold; ``label`` and
            ``probabilities`` are a classifier's outputs.
        shape: as described, the default one if there are more; (N, C, H, W) for an image, and empty where the
            description does not say.
        shapes: all shapes that are taken, if they are enumerated.
        ranges: lower and upper bound of each size, if they are bounded; None for no upper bound.
        color: an image's layout: ``RGB``, ``BGR``, ``GRAYSCALE`` or ``GRAYSCALE_FLOAT16``.
        labels: of the probabilities, in order.
        dtype: of an array's values; of an image's, what they are where they are computed with.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[tuple[int, int | None], ...] = ()
    color: str | None = None
    labels: tuple[str | int, ...] = ()
    dtype: str = "float32"

    def takes(self, shape: Sequence[int]) -> bool:
        """Tells whether an input may have this shape."""
        if self.shapes:
            return tuple(shape) in self.shapes
        if self.ranges:
            return len(shape) == len(self.ranges) and all(
                lower <= size and (upper is None or size <= upper)
                for size, (lower, upper) in zip(shape, self.ranges, strict=True)
            )
        return tuple(shape) == self.shape

    def show_shapes(self) -> str:
        """Returns the shapes that an input may have, for a message."""
        if self.shapes:
            return " or ".join(str(list(shape)) for shape in self.shapes)
        if self.ranges:
            return f"[{', '.join(map(_show_range, self.ranges))}]"
        return str(list(self.shape))


def describe(message: Any, labels: tuple[str | int, ...] = ()) -> Feature:
    """Decodes a ``FeatureDescription`` message; the labels belong to the probabilities, if these are what it is."""
    kind = message.type.WhichOneof("Type")
    if kind == "multiArrayType":
        return _describe_array(message.name, "array", message.type.multiArrayType)
    if kind == "stateType":
        return _describe_array(message.name, "state", message.type.stateType.arrayType)
    if kind == "imageType":
        return _describe_image(message.name, message.type.imageType)
    if kind == "dictionaryType":
        return Feature(message.name, "probabilities", labels=labels)
    return Feature(message.name, _SCALARS.get(kind, "other"))


def _describe_array(name: str, kind: Kind, array: Any) -> Feature:
    return Feature(
        name=name,
        kind=kind,
        shape=tuple(array.shape),
        shapes=tuple(tuple(shape.shape) for shape in array.enumeratedShapes.shapes),
        ranges=tuple(_range(size) for size in array.shapeRange.sizeRanges),
        dtype=_dtype(array),
    )


def _dtype(array: Any) -> str:
    try:
        name: str = type(array).ArrayDataType.Name(array.dataType)
    except ValueError:
        return f"type {array.dataType}"
    return name.lower()


def _describe_image(name: str, image: Any) -> Feature:
    try:
        color = color_space_name(image.colorSpace)
    except ValueError as error:
        raise ArtifactError(f"the image {name!r} has a colour space that is unknown, {image.colorSpace}") from error
    channels = 1 if color.startswith("GRAYSCALE") else 3
    sizes = image.imageSizeRange
    ranges: tuple[tuple[int, int | None], ...] = ()
    if image.WhichOneof("SizeFlexibility") == "imageSizeRange":
        ranges = ((1, 1), (channels, channels), _range(sizes.heightRange), _range(sizes.widthRange))
    return Feature(
        name=name,
        kind="image",
        shape=(1, channels, image.height, image.width),
        shapes=tuple((1, channels, size.height, size.width) for size in image.enumeratedSizes.sizes),
        ranges=ranges,
        color=color,
    )


def _range(message: Any) -> tuple[int, int | None]:
    return message.lowerBound, None if message.upperBound < 0 else message.upperBound


def _show_range(bounds: tuple[int, int | None]) -> str:
    lower, upper = bounds
    if upper is None:
        return f"{lower} or more"
    return str(lower) if lower == upper else f"{lower} to {upper}"
