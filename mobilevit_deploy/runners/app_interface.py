"""What stands between the images of a comparison and an artifact whose borders are an app's."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from mobilevit_deploy.architectures.operations.suppression import suppress
from mobilevit_deploy.catalog.decision import Decision, LabelMap, Suppression
from mobilevit_deploy.runners.base import Array, NotMeasured, Opener, Runner, Values


class Normalisation(Protocol):
    """Mean and std per channel, of values in [0, 1], in the artifact's own colour order."""

    @property
    def mean(self) -> Sequence[float]: ...

    @property
    def std(self) -> Sequence[float]: ...


@dataclass(frozen=True)
class Borders:
    """What an artifact takes and returns in place of normalised arrays and logits.

    Attributes:
        image: set when it takes pixel values 0 to 255.
        probabilities: whether it returns those, (B, classes), in place of the logits.
        channels_last: whether its array is (B, H, W, C).
        decision: what it decides by the values that PyTorch returns.
        chosen_by: how an app chooses among the boxes that it returns.
    """

    image: Normalisation | None = None
    probabilities: bool = False
    channels_last: bool = False
    decision: Decision | None = None
    chosen_by: Suppression | None = None

    def images(self, images: Array) -> Array:
        """Returns normalised images, (N, C, H, W), such as 8-bit pixels give, if the artifact takes pixels."""
        if self.image is None:
            return images
        mean, std = _per_channel(self.image)
        normalised: Array = ((to_pixels(images, self.image) / 255 - mean) / std).astype(np.float32)
        return normalised

    def fed(self, images: Array) -> Array:
        """Returns normalised images as the artifact itself takes them."""
        pixels = images if self.image is None else to_pixels(images, self.image)
        return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)) if self.channels_last else pixels

    def fed_reference(self, runner: Runner) -> Runner:
        """Returns PyTorch with the artifact's own inputs and outputs."""
        inside = runner if self.image is None else NormalisingRunner(runner, self.image)
        return self.reference(inside)

    def reference(self, runner: Runner) -> Runner:
        """Returns PyTorch with the artifact's outputs."""
        if self.decision and self.decision.behind_model:
            return DecidingRunner(runner, self.decision)
        return ProbabilityRunner(runner) if self.probabilities else runner

    def openers(self, openers: Sequence[Opener | NotMeasured]) -> list[Opener | NotMeasured]:
        """Returns what opens the artifact with PyTorch's inputs."""
        if self.image is None and not self.channels_last:
            return list(openers)
        return [opener if isinstance(opener, NotMeasured) else partial(_open_fed, opener, self) for opener in openers]


def _open_fed(opener: Opener, borders: Borders) -> Runner:
    return FedRunner(opener(), borders)


class FedRunner:
    """Feeds an artifact with what it takes in place of normalised images, (B, C, H, W)."""

    def __init__(self, runner: Runner, borders: Borders) -> None:
        self.name, self.settings = runner.name, runner.settings
        self._runner, self._borders = runner, borders

    def run(self, batch: Array) -> Sequence[Array]:
        return self._runner.run(self._borders.fed(batch))


class NormalisingRunner:
    """Feeds PyTorch with what an artifact takes, pixel values."""

    def __init__(self, runner: Runner, image: Normalisation) -> None:
        self.name, self.settings = runner.name, runner.settings
        self._runner, self._image = runner, image

    def run(self, batch: Array) -> Sequence[Array]:
        mean, std = _per_channel(self._image)
        return self._runner.run(((batch / 255 - mean) / std).astype(np.float32))


class ProbabilityRunner:
    """The probabilities of a classifier whose one output is logits, (B, classes)."""

    def __init__(self, runner: Runner) -> None:
        self.name, self.settings = runner.name, runner.settings
        self._runner = runner

    def run(self, batch: Array) -> Sequence[Array]:
        (logits,) = self._runner.run(batch)
        from scipy.special import softmax  # here: it takes a quarter of a second, and few files have classes by name

        return [softmax(logits.astype(np.float64), axis=-1).astype(np.float32)]


class DecidingRunner:
    """The label map of a segmenter's logits, or the detections of a detector's boxes and scores."""

    def __init__(self, runner: Runner, decision: Decision) -> None:
        self.name, self.settings = runner.name, runner.settings
        self._runner, self._decision = runner, decision

    def run(self, batch: Array) -> Sequence[Array]:
        found = self._runner.run(batch)
        if isinstance(self._decision, LabelMap):
            (logits,) = found  # (B, classes, H, W)
            return [logits.argmax(axis=1).astype(np.int32)]
        return chosen(self._decision, found, *batch.shape[2:])


def chosen(rule: Suppression, outputs: Sequence[npt.NDArray[Any]], height: int, width: int) -> list[npt.NDArray[Any]]:
    """Returns the detections among boxes (N, M, 4) and scores (N, M, classes) of N images of a size in pixels.

    Returns:
        Boxes (N, K, 4), scores (N, K), labels (N, K) and their counts (N,).
    """
    boxes, scores = map(torch.from_numpy, outputs)
    sizes = rule.level_sizes(boxes.shape[1], height, width)
    images = (suppress(boxes[i : i + 1], scores[i : i + 1], sizes, *rule.settings) for i in range(len(boxes)))
    return [torch.cat(parts).numpy() for parts in zip(*images, strict=True)]


def to_pixels(images: Array, image: Normalisation) -> Array:
    """Returns the 8-bit pixel values, as float32, that normalised images, (N, C, H, W), come from."""
    mean, std = _per_channel(image)
    pixels: Array = np.rint(255 * (images * std + mean)).clip(0, 255).astype(np.float32)
    return pixels


def _per_channel(image: Normalisation) -> tuple[Values, Values]:
    mean, std = (np.array(values, dtype=np.float64).reshape(-1, 1, 1) for values in (image.mean, image.std))
    return mean, std  # each (C, 1, 1)
