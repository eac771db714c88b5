"""Pictures of what the trained models find: annotations, PyTorch and two files side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle
from PIL import Image

from benchmarks.trained_heads.exports import SIDE
from benchmarks.trained_heads.shapes import COLORS, LABELS
from mobilevit_deploy import Annotations, ModelRequest, load_model
from mobilevit_deploy.images.boxes import BoxedImages
from mobilevit_deploy.images.masks import MaskedImages
from mobilevit_deploy.pipeline.given_images import ImagesRequest, read_given
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.runners.base import NotMeasured, Runner
from mobilevit_deploy.runners.reference import TorchRunner
from mobilevit_deploy.targets.registry import runners_for
from mobilevit_deploy.verification.accuracy.detection import Detections, counted, in_picture
from mobilevit_deploy.verification.accuracy.segmentation import labels_of

FILES = {"ONNX float32": "fp32", "ONNX int8": "int8"}
IMAGES = 4
SHOWN = 0.4  # the least score of a box that is drawn
TONES = 96  # of the picture file: photographs of noise are large as PNG

MAP = ListedColormap([tuple(part / 255 for part in color) for color in COLORS])


def draw(folder: Path, task: str, path: Path) -> None:
    """Writes a picture of ``IMAGES`` of the validation set.

    Args:
        folder: with the checkpoint, the set and the files.
        task: ``segment`` or ``detect``.
        path: of the picture, a PNG.
    """
    own = folder / "val"
    known = Annotations(masks=own / "masks") if task == "segment" else Annotations(boxes=own / "instances.json")
    model = load_model(ModelRequest("cas_vit_xs", task, checkpoint=folder / f"{task}.pth", size=(SIDE, SIDE)))
    given = read_given(model, ImagesRequest(own / "images", IMAGES, known), model.preprocessing)
    assert model.head is not None
    runners: dict[str, Runner] = {"PyTorch": Borders(decision=model.head.decision).reference(TorchRunner(model.module))}
    for name, precision in FILES.items():
        file = folder / "artifacts" / task / f"cas_vit_xs-{SIDE}x{SIDE}-{precision}.onnx"
        if file.exists():
            opener = runners_for("onnx", file)[0]
            assert not isinstance(opener, NotMeasured)
            runners[name] = opener()
    show = _show_labels if isinstance(given, MaskedImages) else _show_boxes
    columns = ["annotation", *runners]
    figure, axes = plt.subplots(IMAGES, len(columns), figsize=(1.3 * len(columns), 1.3 * IMAGES), squeeze=False)
    for number in range(IMAGES):
        with Image.open(given.images.files[number]) as image:
            pixels = np.asarray(image.convert("RGB"))
        for axis, column in zip(axes[number], columns, strict=True):
            axis.imshow(pixels)
            axis.set_axis_off()
            axis.set_title(column if number == 0 else "", fontsize=8)
            outputs = runners[column].run(given.images[number : number + 1]) if column in runners else None
            show(axis, given, number, outputs)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    with Image.open(path) as image:
        image.convert("RGB").quantize(TONES, dither=Image.Dither.NONE).save(path, optimize=True)


def _show_labels(axis: Any, given: MaskedImages, number: int, outputs: Sequence[Any] | None) -> None:
    fit = given.images.fits[number]
    labels = given.mask(number) if outputs is None else labels_of(outputs[0][0], fit, given.images.size[1:])
    axis.imshow(
        np.ma.masked_equal(labels, 0), cmap=MAP, vmin=0, vmax=len(LABELS) - 1, alpha=0.75, interpolation="nearest"
    )


def _show_boxes(axis: Any, given: BoxedImages, number: int, outputs: Sequence[Any] | None) -> None:
    if outputs is None:
        own = given.boxes[number]
        found = Detections(own.boxes + np.pad(own.boxes[:, :2], ((0, 0), (2, 0))), np.ones(len(own.labels)), own.labels)
    else:
        found = in_picture(counted([output[0] for output in outputs]), given.images.fits[number])
    for (x1, y1, x2, y2), score, label in zip(found.boxes, found.scores, found.labels.astype(int), strict=True):
        if score < SHOWN:
            continue
        color = MAP(label + 1)
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=1.5))
        text = given.classes[label] + ("" if outputs is None else f" {score:.2f}")
        frame = {"pad": 0.5, "facecolor": color, "linewidth": 0}
        axis.text(x1, y1, text, fontsize=4, va="bottom", bbox=frame)
