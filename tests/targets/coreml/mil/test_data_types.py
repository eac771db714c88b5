import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.targets.coreml.mil.data_types import DATA_TYPES, unpack, unpack_bits
from tests.targets.coreml.mil.single import data_type


def test_values_across_bytes_low_bits_first() -> None:
    """Values 1, 2, 3, 4, 5 of 3 bits each: 101 100 011 010 001, read from the right."""
    assert unpack(bytes([0b11010001, 0b01011000]), data_type("uint3"), 5).tolist() == [1, 2, 3, 4, 5]


def test_int4_has_a_sign() -> None:
    assert unpack(bytes([0x8F, 0x70]), data_type("int4"), 4).tolist() == [-1, -8, 0, 7]


@given(st.sampled_from([1, 2, 3, 4, 6, 8]), st.lists(st.integers(0, 255), max_size=20))
def test_any_width(bits: int, values: list[int]) -> None:
    values = [value % 2**bits for value in values]
    number = sum(value << (i * bits) for i, value in enumerate(values))
    data = number.to_bytes((len(values) * bits + 7) // 8, "little")
    assert unpack_bits(np.frombuffer(data, np.uint8), bits, len(values)).tolist() == values


def test_another_number_of_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="3 fp16 values take 6 bytes, and there are 4"):
        unpack(b"1234", data_type("fp16"), 3)


def test_the_numbers_are_coremltools_own() -> None:
    from mobilevit_deploy.targets.coreml.mil.specification import _load

    numbers = dict(_load().MIL_pb2.DataType.items())
    names = {number: name.lower() for name, number in numbers.items()}
    for number, known in DATA_TYPES.items():
        assert names[number] == known.name.replace("fp", "float")
