"""What int8 is asked for and what became of it, whatever the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mobilevit_deploy.catalog.calibration import CALIBRATION_IMAGES, STRUCTURED
from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.runners.base import Array

HELD_OUT_IMAGES = 16  # of those that were given, for the artifact's own comparison
HELD_OUT_SHARE = 5  # one of so many, where fewer are given
Floats = npt.NDArray[np.float32]

STEPS = 127  # of a symmetric int8, on either side of zero
# A value halfway between two steps may go either way; float32 places it to 1e-7 of 127 steps.
HALF_STEP = 0.5 + 1e-4
FEWEST_HELD_OUT = 2  # an output is judged by how it differs between images


@dataclass(frozen=True)
class Calibration:
    """Images by which the ranges of activations are chosen.

    Attributes:
        images: (N, C, H, W), normalised.
        held_out: images of the same kind that have no part in it, (M, C, H, W); all of them where they are too few.
        source: what the user gave.
    """

    images: Array
    held_out: Array
    source: str

    @property
    def structured(self) -> bool:
        """Tells whether the images are no photographs, but the ones that parity is measured on."""
        return self.source == STRUCTURED


def divide(images: Array, source: str) -> Calibration:
    """Holds images out of calibration, spread over all that were given: these lie in order of their classes.

    Raises:
        MvdError: there is one image only, on which nothing can be compared.
    """
    if len(images) < FEWEST_HELD_OUT:
        raise MvdError(
            f"{source} has one image, and a comparison takes {FEWEST_HELD_OUT}",
            f"give some {CALIBRATION_IMAGES} images of the kind that the model will see",
        )
    count = min(HELD_OUT_IMAGES, len(images) // HELD_OUT_SHARE)
    if count < FEWEST_HELD_OUT:
        return Calibration(images, images, source)
    chosen = np.linspace(0, len(images) - 1, count).round().astype(np.int64)
    return Calibration(np.delete(images, chosen, axis=0), images[chosen], source)


@dataclass(frozen=True)
class Quantization:
    """How a graph becomes int8; with ``sensitivity`` each module's cost is measured."""

    rule: QuantizationRule
    calibration: Calibration
    sensitivity: bool = False


@dataclass(frozen=True)
class ModuleCost:
    """What it costs to quantise one module alone.

    Attributes:
        module: its path.
        nodes: how many of its nodes are quantised.
        snr_db: of the outputs against float32's, over the calibration images; higher is better.
        noise_share: of the noise of all modules, each measured alone.
    """

    module: str
    nodes: int
    snr_db: float
    noise_share: float


@dataclass(frozen=True)
class QuantizationResult:
    """What became int8.

    Attributes:
        source: of the calibration images.
        images: how many.
        rule: by which nodes were chosen.
        quantized: nodes by operation.
        left: nodes that stayed in float32, by operation.
        bytes_before: of the float32 file.
        sensitivity: by module, the costliest first; empty where it was not asked for.
    """

    source: str
    images: int
    rule: QuantizationRule
    quantized: Mapping[str, int]
    left: Mapping[str, int]
    bytes_before: int
    sensitivity: tuple[ModuleCost, ...] = ()

    @property
    def structured(self) -> bool:
        """Tells whether the images are no photographs, but the ones that parity is measured on."""
        return self.source == STRUCTURED


def signal_to_noise(expected: Sequence[Array], found: Sequence[Array]) -> float:
    """Returns the SNR in dB of the output that lost most; the signal is what differs between images."""
    ratios = []
    for before, after in zip(expected, found, strict=True):
        noise = float(np.square(before - after, dtype=np.float64).sum())
        signal = float(np.square(before - before.mean(axis=0), dtype=np.float64).sum())
        ratios.append(np.inf if noise == 0 else 10 * np.log10(max(signal, 1e-300) / noise))
    return float(min(ratios))


def round_to_steps(
    exact: Floats, integers: npt.NDArray[np.generic], scale: Floats, axis: int, least: float = 0.0
) -> Floats:
    """Returns a weight on its grid, rounded anew; of two steps equally near, the one that the file has.

    Args:
        exact: the weight.
        integers: the file's, of the same shape; int32 for a bias.
        scale: the file's, of one value or as many as channels.
        axis: of the channels.
        least: the smallest scale that is written.
    """
    if scale.ndim == 1 and exact.ndim > 1:
        scale = scale.reshape([-1 if i == axis else 1 for i in range(exact.ndim)])
    own = scale  # a bias has the scale of its product, which the weight's own test covers
    if integers.dtype == np.int8:
        others = tuple(i for i in range(exact.ndim) if i != axis) if scale.size > 1 else None
        own = np.maximum(np.abs(exact).max(axis=others, keepdims=True) / np.float32(STEPS), np.float32(least))
    own = np.where(own == 0, np.float32(1), own)
    written = (integers.astype(np.float64) * scale).astype(np.float32)
    nearest = (np.round(exact / own) * own).astype(np.float32)
    return np.where(np.abs(written - exact) <= HALF_STEP * own, written, nearest)
