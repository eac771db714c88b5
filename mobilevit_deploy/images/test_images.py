"""Structured test images, on which two implementations of one model can be told apart.

White noise cannot do that: the outputs of two different noise images differ by 0.6 to 3 % of the largest
logit, less than a half-precision tolerance (measured on CloFormer, LightViT and CAS-ViT). Images with
edges, gradients and objects move the logits, so an error shows against that spread.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Images = npt.NDArray[np.float32]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _grid(height: int, width: int) -> tuple[FloatArray, FloatArray]:
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    return y, x


def _gradient(rng: np.random.Generator, y: FloatArray, x: FloatArray, _: int) -> FloatArray:
    angle = rng.uniform(0, 2 * np.pi)
    image: FloatArray = 0.5 + 0.5 * (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)) * 2
    return image


def _checkerboard(rng: np.random.Generator, y: FloatArray, x: FloatArray, _: int) -> FloatArray:
    cells = rng.integers(3, 12)
    return (np.floor(y * cells) + np.floor(x * cells)) % 2


def _grating(rng: np.random.Generator, y: FloatArray, x: FloatArray, _: int) -> FloatArray:
    angle, cycles = rng.uniform(0, np.pi), rng.uniform(4, 24)
    image: FloatArray = 0.5 + 0.5 * np.sin(2 * np.pi * cycles * (np.cos(angle) * x + np.sin(angle) * y))
    return image


def _blobs(rng: np.random.Generator, y: FloatArray, x: FloatArray, _: int) -> FloatArray:
    image = np.zeros_like(x)
    for _i in range(6):
        cy, cx, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.03, 0.25)
        image += rng.uniform(0.3, 1) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * radius**2))
    return image


def _natural(rng: np.random.Generator, y: FloatArray, x: FloatArray, _: int) -> FloatArray:
    """Noise whose amplitude falls with frequency, as in photographs (Field 1987)."""
    frequency = np.hypot(np.fft.fftfreq(y.shape[0])[:, None], np.fft.fftfreq(x.shape[1])[None])
    frequency[0, 0] = 1
    image: FloatArray = np.fft.ifft2(np.fft.fft2(rng.standard_normal(x.shape)) / frequency).real
    image = 0.5 + 0.2 * image / (image.std() + 1e-9)
    return image


def _rectangles(rng: np.random.Generator, y: FloatArray, x: FloatArray, _: int) -> FloatArray:
    image = np.full_like(x, rng.uniform(0, 1))
    for _i in range(8):
        top, left, high, wide = rng.uniform(0, 0.8), rng.uniform(0, 0.8), rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.5)
        image[(y >= top) & (y < top + high) & (x >= left) & (x < left + wide)] = rng.uniform(0, 1)
    return image


def _rings(rng: np.random.Generator, y: FloatArray, x: FloatArray, _: int) -> FloatArray:
    radius = np.hypot(y - rng.uniform(0.3, 0.7), x - rng.uniform(0.3, 0.7))
    return 0.5 + 0.5 * np.cos(2 * np.pi * rng.uniform(3, 15) * radius)


def _flat(rng: np.random.Generator, _: FloatArray, x: FloatArray, channel: int) -> FloatArray:
    """The brightest red and the darkest rest: the ends of the input range."""
    return np.full_like(x, 1.0 if channel == 0 else 0.0) + rng.normal(0, 0.01, x.shape)


KINDS: tuple[Callable[[np.random.Generator, FloatArray, FloatArray, int], FloatArray], ...] = (
    _natural,
    _rectangles,
    _gradient,
    _checkerboard,
    _grating,
    _blobs,
    _rings,
    _flat,
)


def make_samples(
    count: int,
    channels: int,
    height: int,
    width: int,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    seed: int = 0,
) -> Images:
    """Returns normalised test images, (count, channels, height, width) float32, the same for one seed.

    Args:
        count: number of images; the kinds (natural noise, rectangles, gradient, ...) take turns.
        channels: image channels; beyond three the mean and std repeat.
        height: in pixels.
        width: in pixels.
        mean: per channel, of values in [0, 1].
        std: per channel.
        seed: of the random parameters of each image.
    """
    y, x = _grid(height, width)
    images = np.empty((count, channels, height, width))
    for i in range(count):
        for channel in range(channels):
            # One stream per image, so that a channel shares its shapes with the others and differs in colour.
            rng = np.random.default_rng([seed, i])
            pattern = np.clip(KINDS[i % len(KINDS)](rng, y, x, channel), 0, 1)
            low, high = np.random.default_rng([seed, i, channel]).uniform((0.0, 0.6), (0.4, 1.0))
            value = low + (high - low) * pattern
            images[i, channel] = (value - mean[channel % len(mean)]) / std[channel % len(std)]
    return images.astype(np.float32)


SAMPLES = 8  # one image of each structured kind
