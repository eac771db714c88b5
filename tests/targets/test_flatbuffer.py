"""Bytes that are no FlatBuffer end in DamagedError, whatever is asked of them."""

import struct
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.targets import flatbuffer
from mobilevit_deploy.targets.flatbuffer import DamagedError, Table, check_size, pick

ASKED: list[Callable[[Table], object]] = [
    lambda table: table.whole(0),
    lambda table: table.table(1),
    lambda table: table.text(1),
    lambda table: table.numbers(1, "q"),
    lambda table: table.reals(1),
    lambda table: table.content(1),
    lambda table: [item.text(0) for item in table.tables(1)],
]


WORDS = [0, 1, 2, 4, 8, 12, 16, 0x00080008, 0x0004000C, 0x7FFFFFFF, 0xFFFFFFF8, 0xFFFFFFFF]


@settings(max_examples=60)
@given(st.lists(st.sampled_from(WORDS), max_size=12), st.sampled_from(ASKED))
def test_any_words(words: list[int], ask: Callable[[Table], object]) -> None:
    with suppress(DamagedError):
        ask(Table.root(struct.pack(f"<{len(words)}I", *words)))


def table(items: bytes) -> bytes:
    """Returns a FlatBuffer whose field 1 leads to the given bytes."""
    return struct.pack("<IHHHHiII", 12, 8, 12, 0, 8, 8, 0, 4)[:24] + items


def test_fields_that_are_there_and_those_that_are_not() -> None:
    made = Table.root(table(struct.pack("<3I", 2, 7, 8)))
    assert made.numbers(1) == [7, 8]
    assert made.fields == 2
    assert (made.whole(0, default=5), made.text(9), made.table(9), made.numbers(9)) == (5, "", None, [])


def test_a_text_that_is_read_again_and_again() -> None:
    """A thousand tensors may share a name of a megabyte: the time to read them would be the product."""
    made = Table.root(table(struct.pack("<I", 100_000) + bytes(100_000)))
    for _ in range(flatbuffer.MOST_READINGS):
        made.text(1)
    with pytest.raises(DamagedError, match="lie in one another"):
        made.text(1)


def test_lists_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatbuffer, "MOST_ITEMS", 5)
    made = Table.root(table(struct.pack("<4I", 3, 1, 2, 3)))
    made.numbers(1)
    with pytest.raises(DamagedError, match="more lists than any model has"):
        made.numbers(1)


@pytest.mark.parametrize("shape", [(2**20, 2**20), (-1, 3), (1,) * 17])
def test_tensors_that_no_phone_holds(shape: tuple[int, ...]) -> None:
    with pytest.raises(DamagedError, match="no model for a telephone"):
        check_size(shape, 1)


def test_numbers_of_what_is_not_there() -> None:
    assert pick("abc", [2, 0]) == ("c", "a")
    for wrong in (-1, 3):
        with pytest.raises(DamagedError, match="what is not there"):
            pick("abc", [wrong])
