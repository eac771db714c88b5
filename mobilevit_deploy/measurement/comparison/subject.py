"""One of the artifacts that are compared: what it takes, and how it is fed with the images that all of them get."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mobilevit_deploy.catalog.formats import target_of_file
from mobilevit_deploy.errors import ArtifactError, UsageError
from mobilevit_deploy.runners.base import NotMeasured, Runner, Values
from mobilevit_deploy.targets.artifact import check_input
from mobilevit_deploy.targets.onnx.inputs import OnnxInput, read_inputs
from mobilevit_deploy.targets.onnx.runner import OnnxRuntimeRunner
from mobilevit_deploy.targets.registry import describe_file, runners_for

Layout = Literal["NCHW", "NHWC"]

ELEMENT_TYPES = {"FLOAT": np.float32, "FLOAT16": np.float16, "DOUBLE": np.float64, "UINT8": np.uint8}
CHANNELS = (1, 3, 4)  # of an image; a layout is told by them


@dataclass(frozen=True)
class Subject:
    """An artifact; with one image input, or timed only.

    Attributes:
        path: the file or folder.
        target: its format.
        shape: of the input, all sizes known.
        layout: of the input.
        dtype: of the input.
        pixels: whether it takes values 0 to 255 in place of a normalised image.
        bgr: whether its channels are blue, green, red.
        probabilities: whether its first output is a classifier's probabilities.
        open: opens it in what computes its outputs.
        no_image: why it cannot be fed with images, where it cannot; then it is timed, and nothing else.
    """

    path: Path
    target: str
    shape: tuple[int, ...]
    layout: Layout
    dtype: npt.DTypeLike
    pixels: bool
    bgr: bool
    probabilities: bool
    open: Callable[[], Runner]
    no_image: str | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Returns (C, H, W)."""
        _, *rest = self.shape
        channels, height, width = rest if self.layout == "NCHW" else (rest[2], rest[0], rest[1])
        return channels, height, width

    def feed(self, pixels: Values, mean: Sequence[float], std: Sequence[float]) -> npt.NDArray[np.float32]:
        """Returns images as this artifact takes them.

        Args:
            pixels: (N, C, H, W), 0 to 255, RGB.
            mean: per channel, of values in [0, 1].
            std: likewise.
        """
        count = pixels.shape[1]
        centre, scale = (np.resize(values, count).reshape(-1, 1, 1) for values in (mean, std))
        values = pixels if self.pixels else (pixels / 255 - centre) / scale
        if self.bgr:
            values = values[:, ::-1]
        if self.layout == "NHWC":
            values = values.transpose(0, 2, 3, 1)
        if np.issubdtype(self.dtype, np.integer):
            values = np.rint(values)
        fed: npt.NDArray[np.float32] = np.ascontiguousarray(values, dtype=self.dtype)
        return fed


def open_subject(path: Path, size: tuple[int, ...] | None) -> Subject:
    """Returns an artifact, looked at but not yet loaded.

    Args:
        path: of any target.
        size: (height, width) for sizes that an ONNX file leaves free; None if it should not.

    Raises:
        ArtifactError: nothing there, or another format.
        UsageError: free sizes, and none given.
        MeasurementError: a damaged ONNX file.
    """
    target = target_of_file(path)
    return _open_onnx(path, size) if target == "onnx" else _open_described(path, target)


def _open_onnx(path: Path, size: tuple[int, ...] | None) -> Subject:
    inputs = read_inputs(path)
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type_name not in ELEMENT_TYPES:
        found = ", ".join(f"{item.name} {item.type_name} {list(item.shape)}" for item in inputs) or "none"
        return Subject(
            path=path,
            target="onnx",
            shape=tuple(size for size in inputs[0].shape if isinstance(size, int)) if inputs else (),
            layout="NCHW",
            dtype=np.float32,
            pixels=False,
            bgr=False,
            probabilities=False,
            open=partial(OnnxRuntimeRunner, path, "all"),
            no_image=f"it takes no one image but {found}, so it is timed only",
        )
    item = inputs[0]
    layout: Layout = "NHWC" if item.shape[3] in CHANNELS and item.shape[1] not in CHANNELS else "NCHW"
    return Subject(
        path=path,
        target="onnx",
        shape=_fix_sizes(path, item, layout, size),
        layout=layout,
        dtype=ELEMENT_TYPES[item.type_name],
        pixels=item.type_name == "UINT8",
        bgr=False,
        probabilities=False,
        open=partial(OnnxRuntimeRunner, path, "all"),
    )


def _fix_sizes(path: Path, item: OnnxInput, layout: Layout, size: tuple[int, ...] | None) -> tuple[int, ...]:
    """Returns the shape with batch 1 where the batch is free, and with the size that the user gave where others are."""
    given: tuple[int | None, ...] = (1, None, None, None)
    if size is not None:
        channels, (height, width) = (size[0] if len(size) == 3 else None), size[-2:]
        given = (1, channels, height, width) if layout == "NCHW" else (1, height, width, channels)
    shape = [found if isinstance(found, int) else value for found, value in zip(item.shape, given, strict=True)]
    fixed = [found for found in shape if found is not None]
    if len(fixed) < 4:
        free = ", ".join(str(found) for found in item.shape[1:] if isinstance(found, str))
        what = "HxW" if all(isinstance(item.shape[i], int) for i in ((1,) if layout == "NCHW" else (3,))) else "CxHxW"
        raise UsageError(
            f"{path.name} leaves sizes of its input {item.name} free: {free}", f"fix them with --input-size {what}"
        )
    check_input(fixed, path.name)
    if size is not None and tuple(fixed[2:] if layout == "NCHW" else fixed[1:3]) != tuple(size[-2:]):
        found = "x".join(map(str, fixed[2:] if layout == "NCHW" else fixed[1:3]))
        raise UsageError(
            f"{path.name} has {found} fixed in its graph", "--input-size is for sizes that a file leaves free"
        )
    return tuple(fixed)


def _open_described(path: Path, target: str) -> Subject:
    """Returns an artifact whose file says all of its input, in the first of its runners."""
    file = describe_file(path)
    if len(file.inputs) > 1:
        names = ", ".join(spec.name for spec in file.inputs)
        raise ArtifactError(
            f"{path.name} has the inputs {names}, where mvd compare feeds one image", "mvd verify feeds all"
        )
    check_input(file.entries[0].shape, path.name)
    opener = runners_for(target, path)[0]
    if isinstance(opener, NotMeasured):
        raise ArtifactError(f"{path.name} cannot be compared: {opener.reason}")
    return Subject(
        path=path,
        target=target,
        shape=file.entries[0].shape,
        layout="NCHW",
        dtype=np.float32,
        pixels=file.image,
        bgr=file.color == "BGR",
        probabilities=file.probabilities,
        open=opener,
    )
