"""NumPy's arrays in a pickle, as tensors: numbers of a few kinds, of which a pickle has the bytes.

::

    numpy._core.multiarray._reconstruct(...), with (version, shape, dtype, whether columns come first, bytes) as state
    numpy._core.numeric._frombuffer(bytes, dtype, shape, order)                     the same in the protocol 5

Source: ``ndarray.__reduce__`` and ``dtype.__reduce__`` of NumPy, whose modules were called ``numpy.core`` before 2.0.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobilevit_deploy.loading.inert.values import Placeholder

RECONSTRUCTED = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
FROM_BUFFER = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
TYPE = "numpy.dtype"
ARRAYS = (*RECONSTRUCTED, *FROM_BUFFER, TYPE)
NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")
MOST_AXES = 32
LARGEST_SIZE = 2**40
ORDERS = ("<", ">", "|", "=")  # of the bytes of a number


def tensor_of(value: object) -> Tensor | None:
    """Returns an array of numbers as a tensor; None for anything else, and for one of other bytes than it says."""
    if not isinstance(value, Placeholder):
        return None
    if value.name in RECONSTRUCTED and isinstance(value.state, tuple) and len(value.state) >= 5:
        shape, kind, columns_first, content = value.state[1:5]
    elif value.name in FROM_BUFFER and len(value.arguments) == 4:
        content, kind, shape, order = value.arguments
        columns_first = order == "F"
    else:
        return None
    dtype = _dtype(kind)
    if dtype is None or not isinstance(content, bytes | bytearray) or not isinstance(shape, tuple):
        return None
    if len(shape) > MOST_AXES or not all(type(size) is int and 0 <= size <= LARGEST_SIZE for size in shape):
        return None
    if math.prod(shape) * dtype.itemsize != len(content):
        return None
    try:
        array = np.frombuffer(content, dtype).reshape(shape, order="F" if columns_first else "C")
    except ValueError:  # no values, of sizes whose product is no number of NumPy's
        return None
    return torch.from_numpy(np.array(array, dtype.newbyteorder("="), order="C"))


def _dtype(kind: object) -> "np.dtype[Any] | None":
    """Returns one of the kinds of numbers that there are tensors of."""
    if not isinstance(kind, Placeholder) or kind.name != TYPE or not kind.arguments:
        return None
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else "="
    code = kind.arguments[0]
    return np.dtype(f"{order}{code}") if code in NUMBERS and order in ORDERS else None
