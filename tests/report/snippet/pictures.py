"""Pictures on which every mistake of preparing shows, and the facts of files that prepare them in different ways."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.images.preparation import prepare_picture
from mobilevit_deploy.report.snippet.facts import Facts
from mobilevit_deploy.runners.app_interface import Borders

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
FACTS = Facts(
    name="net.onnx", input="input", shape=(1, 3, 24, 32), batch=1, channels=3, height=24, width=32,
    channels_last=False, pixels=False, mean=MEAN, std=STD, bgr=False, kernel="bicubic", rule="crop", crop=0.875,
    keeps_ratio=True, answer="logits", outputs=("logits",), shapes=((1, 5),), classes=5, labels=(),
)  # fmt: skip
NAMES = ['zero "quoted" \\', "one ${x} $y \\(z) {{ 1 }}", "// two */ \\n", "drei '''\"\"\" 四", "#{five} `${6}`"]


def draw(path: Path, height: int = 77, width: int = 131) -> Path:
    """Writes a picture that is not square, with a gradient, edges, and three channels that differ."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([255 * x / width, 255 * y / height, 200 * ((x // 7 + y // 5) % 2)], axis=-1).astype(np.uint8)
    pixels[height // 8 : height // 2, width // 6 : width // 2] = (250, 30, 10)
    Image.fromarray(pixels).save(path)
    return path


def cases() -> Iterator[tuple[str, Facts, Preprocessing]]:
    """Yields every rule and kernel, every layout and colour, each with what the export would have noted."""
    usual = Preprocessing(mean=MEAN, std=STD, interpolation="bicubic", description="")
    warped = usual.model_copy(update={"crop": 1.0, "warp": True})
    ways = (
        ("crop", FACTS, usual),
        ("gray", replace(FACTS, channels=1, shape=(1, 1, 24, 32), mean=MEAN[:1], std=STD[:1]), usual),
        ("stretch", replace(FACTS, rule="stretch", keeps_ratio=False), warped),
        ("both", replace(FACTS, crop=0.8, keeps_ratio=False), usual.model_copy(update={"crop": 0.8, "warp": True})),
        ("fit", replace(FACTS, rule="fit", crop=1.0), usual.model_copy(update={"crop": 1.0, "pad": True})),
        ("bgr", replace(FACTS, bgr=True), usual.model_copy(update={"color": "BGR"})),
        ("last", replace(FACTS, channels_last=True, shape=(1, 24, 32, 3), batch=2), usual),
    )  # fmt: skip
    yield from ways
    for kernel in ("nearest", "bilinear", "lanczos"):
        yield kernel, replace(FACTS, kernel=kernel), usual.model_copy(update={"interpolation": kernel})


def expected(picture: Path, facts: Facts, preparation: Preprocessing) -> npt.NDArray[np.float32]:
    """Returns what ``mvd predict`` feeds such a file with, (B, ...)."""
    one = prepare_picture(picture, (facts.channels, facts.height, facts.width), preparation)[None]
    fed = Borders(channels_last=facts.channels_last).fed(one)
    return np.repeat(fed, facts.batch, axis=0)
