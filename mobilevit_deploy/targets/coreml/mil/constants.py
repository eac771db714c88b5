"""The ops that only decode a stored weight: ``const`` and the seven ``constexpr_*`` kinds.

iOS 16 writes a kind's parameters as attributes, packed into bytes with the shape beside them; iOS 18 writes them as
inputs with sub-byte types, which have a shape of their own. Both arrive here as arrays by parameter name.
Source: coremltools' definitions, ``mil/ops/defs/iOS16/constexpr_ops.py`` and ``iOS18/compression.py``.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from mobilevit_deploy.targets.coreml.mil.data_types import AnyArray, unpack_bits

Parameters = Mapping[str, AnyArray]


def decode_affine(parameters: Parameters) -> tuple[AnyArray, ...]:
    """``scale * (quantized_data - zero_point)``, along one axis."""
    data, axis = parameters["quantized_data"], int(parameters["axis"])

    def along_axis(values: AnyArray) -> AnyArray:
        if values.ndim == 0:
            return values.astype(np.float32)
        shape = [1] * data.ndim
        shape[axis] = values.size
        return values.astype(np.float32).reshape(shape)

    return (along_axis(parameters["scale"]) * (data.astype(np.float32) - along_axis(parameters["zero_point"])),)


def decode_cast(parameters: Parameters) -> tuple[AnyArray, ...]:
    """The value itself; the declared type of the output does the cast."""
    return (parameters["source_val"],)


def decode_blockwise(parameters: Parameters) -> tuple[AnyArray, ...]:
    """``scale * (data - offset)``; each scale and offset holds for a block of the data."""
    data = parameters["data"]
    return (_shift_scale(data, parameters["scale"], parameters.get("offset")),)


def decode_lut(parameters: Parameters) -> tuple[AnyArray, ...]:
    """Values looked up by index; in iOS 18's form one table a block, and vectors as entries."""
    indices, table = parameters["indices"], parameters["lut"]
    if "shape" in parameters:
        shape = _shape(parameters)
        bits = (table.size - 1).bit_length()
        return (table[unpack_bits(indices, bits, math.prod(shape))].reshape(shape),)
    return (_look_up(indices, table, parameters.get("vector_axis")),)


def decode_sparse(parameters: Parameters) -> tuple[AnyArray, ...]:
    """Values where the mask is set, zero elsewhere."""
    mask = parameters["mask"]
    if "shape" in parameters:
        shape = _shape(parameters)
        mask = unpack_bits(mask, 1, math.prod(shape)).reshape(shape)
    return (_spread(parameters["nonzero_data"], mask),)


def decode_lut_to_sparse(parameters: Parameters) -> tuple[AnyArray, ...]:
    """Mask and values: looked up for the places where the mask is set."""
    mask, vector_axis = parameters["indices_mask"], parameters.get("vector_axis")
    dense = _look_up(_spread(parameters["indices_nonzero_data"], mask), parameters["lut"], vector_axis)
    vector_size = parameters["lut"].shape[-1]
    if vector_size > 1 and vector_axis is not None:
        mask = np.repeat(mask, vector_size, axis=int(vector_axis))
    return mask, dense[mask != 0]


def decode_sparse_blockwise(parameters: Parameters) -> tuple[AnyArray, ...]:
    """Mask and values: ``scale * (data - offset)`` for the places where the mask is set."""
    mask = parameters["data_mask"]
    dense = _shift_scale(_spread(parameters["nonzero_data"], mask), parameters["scale"], parameters.get("offset"))
    return mask, dense[mask != 0]


CONSTANT_DECODERS: Mapping[str, Callable[[Parameters], tuple[AnyArray, ...]]] = {
    "constexpr_affine_dequantize": decode_affine,
    "constexpr_cast": decode_cast,
    "constexpr_blockwise_shift_scale": decode_blockwise,
    "constexpr_lut_to_dense": decode_lut,
    "constexpr_sparse_to_dense": decode_sparse,
    "constexpr_lut_to_sparse": decode_lut_to_sparse,
    "constexpr_sparse_blockwise_shift_scale": decode_sparse_blockwise,
}


def _shape(parameters: Parameters) -> tuple[int, ...]:
    return tuple(int(size) for size in parameters["shape"])


def _shift_scale(data: AnyArray, scale: AnyArray, offset: AnyArray | None) -> AnyArray:
    values = data.astype(np.float32)
    if offset is not None:
        values -= _repeat_blocks(offset.astype(np.float32), data.shape)
    values *= _repeat_blocks(scale.astype(np.float32), data.shape)
    return values


def _repeat_blocks(values: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """Repeats each value over its block of a tensor of the shape; axes of size 1 are left to broadcasting."""
    if values.ndim != len(shape):
        raise ValueError(f"{list(values.shape)} blocks do not fit data of shape {list(shape)}")
    for axis, (blocks, size) in enumerate(zip(values.shape, shape, strict=True)):
        if blocks == 0 or size % blocks:
            raise ValueError(f"{list(values.shape)} blocks do not divide data of shape {list(shape)}")
        if blocks not in (1, size):
            values = np.repeat(values, size // blocks, axis)
    return values


def _spread(values: AnyArray, mask: AnyArray) -> AnyArray:
    dense = np.zeros(mask.shape, values.dtype)
    chosen = mask != 0
    if int(chosen.sum()) != values.size:
        raise ValueError(f"{values.size} values do not fit a mask with {int(chosen.sum())} places")
    dense[chosen] = values
    return dense


def _look_up(indices: AnyArray, table: AnyArray, vector_axis: AnyArray | None) -> AnyArray:
    """Replaces each index by its entry in the table of its block.

    Args:
        indices: (*D).
        table: (*blocks, entries, vector size), a table for each block of the indices.
        vector_axis: axis of the result that an entry's vector lies along.

    Returns:
        (*D), with ``vector_axis`` longer by the vector size.
    """
    *blocks, entries, vector_size = table.shape
    number = np.arange(math.prod(blocks)).reshape(blocks)  # of the table
    for axis, size in enumerate(indices.shape):
        if blocks[axis] == 0 or size % blocks[axis]:
            raise ValueError(f"{blocks} tables do not divide indices of shape {list(indices.shape)}")
        number = np.repeat(number, size // blocks[axis], axis)
    dense: AnyArray = table.reshape(-1, vector_size)[number * entries + indices]  # (*D, vector size)
    if vector_size == 1:
        return dense.reshape(indices.shape)
    if vector_axis is None:
        raise ValueError("a table of vectors needs a vector_axis")
    axis = int(vector_axis) % indices.ndim
    shape = list(indices.shape)
    shape[axis] *= vector_size
    return np.moveaxis(dense, -1, axis + 1).reshape(shape)
