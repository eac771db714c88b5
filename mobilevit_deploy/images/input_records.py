"""Test values for a model that takes more than one image.

What is an array of images elsewhere, (N, C, H, W), is here an array of N records, as NumPy has them: one record for a
run, with a field for each input. It is cut and counted as images are; what runs a model asks ``by_name`` for fields.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from mobilevit_deploy.catalog.tensor_input import INTEGERS, InputType, TensorInput, first_image
from mobilevit_deploy.images.test_images import Images, make_samples

AnyArray = npt.NDArray[Any]

WAVES = 4  # that a smooth row of numbers is the sum of
MOST_CYCLES = 6


def make_records(inputs: Sequence[TensorInput], count: int, mean: Sequence[float], std: Sequence[float]) -> Images:
    """Returns ``count`` records, (N,), the same each time.

    Images are structured ones, each input's of another seed; pixel values 0 to 255 for uint8. Other floating-point
    inputs are smooth along their last axis, integers and truth values random.

    Args:
        inputs: names, shapes and types.
        count: of records.
        mean: per channel of an image, of values in [0, 1].
        std: per channel.
    """
    fields = [(item.name, np.dtype(item.type), item.shape) for item in inputs]
    records = np.zeros(count, dtype=np.dtype(fields))
    for seed, item in enumerate(inputs):
        records[item.name] = _values(item, count, seed, mean, std)
    return cast(Images, records)


def by_name(batch: Images, name: str) -> Mapping[str, AnyArray]:
    """Returns what a model is fed with: a batch of images under a name, a record's fields under their own."""
    names = batch.dtype.names
    if names is None:
        return {name: batch}
    (record,) = batch  # a run takes one
    return {field: np.array(record[field]) for field in names}


def size_of(images: Images) -> tuple[int, int]:
    """Returns (height, width) of images, or of the first image of records."""
    fields = {name: field for name, (field, *_) in (images.dtype.fields or {}).items()}
    inputs = [TensorInput(name, field.shape, cast(InputType, field.base.name)) for name, field in fields.items()]
    height, width = (first_image(inputs) or images).shape[2:]
    return height, width


def _values(item: TensorInput, count: int, seed: int, mean: Sequence[float], std: Sequence[float]) -> AnyArray:
    rng = np.random.default_rng([seed, 1])
    shape = (count, *item.shape)
    if item.is_image:
        batch, channels, height, width = item.shape
        pixels = item.type == "uint8"
        images = make_samples(
            count * batch, channels, height, width, (0.0,) if pixels else mean, (1.0,) if pixels else std, seed
        ).reshape(shape)
        return np.rint(255 * images).clip(item.low, item.high - 1) if pixels else images
    if item.type == "bool":
        return rng.random(shape) < 0.5
    if item.type in INTEGERS:
        return rng.integers(item.low, item.high, shape)
    return _smooth(rng, shape)


def _smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> AnyArray:
    """Returns sums of waves along the last axis, of mean square 1."""
    place = np.linspace(0, 1, shape[-1])
    values = np.zeros(shape)
    for _ in range(WAVES):
        cycles, phase = rng.uniform(0, MOST_CYCLES, (*shape[:-1], 1)), rng.uniform(0, 1, (*shape[:-1], 1))
        values += np.sin(2 * np.pi * (cycles * place + phase))
    scaled: AnyArray = values * np.sqrt(2 / WAVES)
    return scaled
