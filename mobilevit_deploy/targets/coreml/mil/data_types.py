"""The scalar types of MIL, and how each is held in numpy, in torch and in a weight file."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

AnyArray = npt.NDArray[Any]


@dataclass(frozen=True)
class DataType:
    """One scalar type.

    Attributes:
        name: as MIL's text form and ``cast`` write it.
        bits: of one value where it is stored; below 8 the values are packed.
        numpy: type that holds one value; sub-byte types are held in one byte each.
        torch: type that computes with it; an unsigned type that torch lacks is held in the next wider one.
        blob: the number that a weight file gives this type, if it can stand there.
    """

    name: str
    bits: int
    numpy: npt.DTypeLike
    torch: torch.dtype
    blob: int | None = None

    @property
    def is_float(self) -> bool:
        """Tells whether results of this type are rounded."""
        return self.torch.is_floating_point


FP16 = DataType("fp16", 16, np.float16, torch.float16, blob=1)
FP32 = DataType("fp32", 32, np.float32, torch.float32, blob=2)
STRING = DataType("string", 0, np.str_, torch.uint8)

# By the number that MIL.proto gives the type.
DATA_TYPES = {
    1: DataType("bool", 8, np.bool_, torch.bool),
    2: STRING,
    10: FP16,
    11: FP32,
    12: DataType("fp64", 64, np.float64, torch.float64),
    21: DataType("int8", 8, np.int8, torch.int8, blob=4),
    22: DataType("int16", 16, np.int16, torch.int16, blob=6),
    23: DataType("int32", 32, np.int32, torch.int32, blob=14),
    24: DataType("int64", 64, np.int64, torch.int64),
    25: DataType("int4", 4, np.int8, torch.int8, blob=8),
    31: DataType("uint8", 8, np.uint8, torch.uint8, blob=3),
    32: DataType("uint16", 16, np.uint16, torch.int32, blob=7),
    33: DataType("uint32", 32, np.uint32, torch.int64, blob=15),
    35: DataType("uint4", 4, np.uint8, torch.uint8, blob=11),
    36: DataType("uint2", 2, np.uint8, torch.uint8, blob=10),
    37: DataType("uint1", 1, np.uint8, torch.uint8, blob=9),
    38: DataType("uint6", 6, np.uint8, torch.uint8, blob=13),
    39: DataType("uint3", 3, np.uint8, torch.uint8, blob=12),
}


def unpack(data: bytes, data_type: DataType, count: int) -> AnyArray:
    """Returns ``count`` values from their stored bytes; values below 8 bits lie one after another, low bits first.

    Raises:
        ValueError: the bytes are fewer or more than the values take.
    """
    expected = packed_size(data_type, count)
    if len(data) != expected:
        raise ValueError(f"{count} {data_type.name} values take {expected} bytes, and there are {len(data)}")
    if data_type.bits >= 8:
        return np.frombuffer(data, data_type.numpy)
    return unpack_bits(np.frombuffer(data, np.uint8), data_type.bits, count, signed=data_type.name == "int4")


def unpack_bits(data: AnyArray, bits: int, count: int, signed: bool = False) -> AnyArray:
    """Returns ``count`` values of ``bits`` bits each, packed low bits first, as one byte each."""
    stream = np.unpackbits(data, bitorder="little")[: count * bits].reshape(count, bits)
    values = np.packbits(stream, axis=1, bitorder="little").reshape(count)
    if not signed:
        return values
    shift = 8 - bits  # the arithmetic shift back carries the sign
    return (values << shift).view(np.int8) >> shift


def packed_size(data_type: DataType, count: int) -> int:
    """Returns how many bytes ``count`` values take where they are stored."""
    return (count * data_type.bits + 7) // 8
