"""What happens to a tensor: each kind returns the damaged values, or None where nothing would change."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[np.generic]
Kind = Callable[[AnyArray, np.random.Generator], AnyArray | None]

ZEROED = 4096  # bytes


def zero(values: AnyArray, rng: np.random.Generator) -> AnyArray | None:
    """4 KiB of zeros, or all of it where there is less."""
    content = bytearray(values.tobytes())
    start = int(rng.integers(max(1, len(content) - ZEROED + 1)))
    count = len(content[start : start + ZEROED])
    content[start : start + count] = bytes(count)
    return _changed(values, np.frombuffer(bytes(content), values.dtype).reshape(values.shape))


def flip_sign(values: AnyArray, rng: np.random.Generator) -> AnyArray | None:
    """One number with the other sign; of whole numbers without signs, one with its highest bit flipped."""
    damaged, place = values.copy(), int(rng.integers(values.size))
    bits = damaged.reshape(-1).view(f"u{values.itemsize}")
    bits[place] ^= bits.dtype.type(1 << (8 * values.itemsize - 1))
    return _changed(values, damaged)


def swap_channels(values: AnyArray, rng: np.random.Generator) -> AnyArray | None:
    """Two channels of the first axis in each other's place."""
    if values.ndim == 0 or len(values) < 2:
        return None
    damaged, pair = values.copy(), rng.choice(len(values), 2, replace=False)
    damaged[pair] = damaged[pair[::-1]]
    return _changed(values, damaged)


def scale(values: AnyArray, rng: np.random.Generator) -> AnyArray | None:
    """One number times 1.01; of whole numbers, those that are so near are one more."""
    damaged, place = values.copy(), int(rng.integers(values.size))
    flat = damaged.reshape(-1)
    if values.dtype.kind == "f":
        flat[place] *= values.dtype.type(1.01)
    else:
        flat[place] = flat[place] ^ values.dtype.type(1)
    return _changed(values, damaged)


KINDS: dict[str, Kind] = {
    "4 KiB of zeros": zero,
    "one sign flipped": flip_sign,
    "two channels swapped": swap_channels,
    "one weight times 1.01": scale,
}


def _changed(before: AnyArray, after: AnyArray) -> AnyArray | None:
    return None if before.tobytes() == after.tobytes() else after
