"""What is done to the numbers of a weight, in whichever format it was found."""

from collections.abc import Callable

import numpy as np

from mobilevit_deploy.targets.coreml.mil.data_types import AnyArray

Change = Callable[[AnyArray, np.random.Generator], None]


def scale(factor: float, values: AnyArray, _: np.random.Generator) -> None:
    values *= values.dtype.type(factor)


def zero_channel(values: AnyArray, rng: np.random.Generator) -> None:
    values[rng.integers(len(values))] = 0


def swap_channels(values: AnyArray, rng: np.random.Generator) -> None:
    one, other = rng.choice(len(values), 2, replace=False)
    values[[one, other]] = values[[other, one]]


def flip_exponent_bit(values: AnyArray, rng: np.random.Generator) -> None:
    bits = values.reshape(-1).view(np.uint32)
    bits[rng.integers(bits.size)] ^= np.uint32(1 << 24)
