"""NumPy's arrays in pickles: what NumPy writes is read back, whatever its shape, its numbers and its protocol."""

import io
import pickle
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.loading.inert.arrays import NUMBERS, tensor_of
from mobilevit_deploy.loading.inert.unpickler import Unpickler

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@settings(max_examples=40)
@given(
    shape=SHAPES,
    kind=st.sampled_from(NUMBERS),
    swapped=st.booleans(),
    columns_first=st.booleans(),
    protocol=st.integers(0, 5),
)
def test_what_numpy_writes_is_read_back(
    shape: tuple[int, ...], kind: str, swapped: bool, columns_first: bool, protocol: int
) -> None:
    numbers: Any = np.arange(np.prod(shape, dtype=int)) % 2 if kind == "b1" else np.arange(np.prod(shape, dtype=int))
    array = numbers.reshape(shape).astype(np.dtype(kind).newbyteorder(">" if swapped else "="))
    array = np.asfortranarray(array) if columns_first else array
    tensor = tensor_of(Unpickler(io.BytesIO(pickle.dumps(array, protocol))).load())
    assert tensor is not None
    assert tensor.shape == torch.Size(array.shape)
    assert np.array_equal(tensor.numpy(), array)
    assert tensor.numpy().dtype == np.dtype(kind)


@settings(max_examples=20)
@given(st.sampled_from(["c8", "S3", "U2", "O", "M8[s]"]), SHAPES, st.integers(2, 5))
def test_what_is_no_number_is_no_tensor(kind: str, shape: tuple[int, ...], protocol: int) -> None:
    array = np.zeros(shape, kind)
    assert tensor_of(Unpickler(io.BytesIO(pickle.dumps(array, protocol))).load()) is None
