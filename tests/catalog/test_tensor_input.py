"""Inputs as people write them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.catalog.tensor_input import (
    INTEGERS,
    MOST_VALUES,
    TYPES,
    TensorInput,
    check_inputs,
    first_image,
    parse_input,
)


@st.composite
def inputs(draw: st.DrawFn) -> TensorInput:
    kind = draw(st.sampled_from(TYPES))
    name = draw(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True))
    shape = tuple(draw(st.lists(st.integers(1, 300), min_size=1, max_size=5)))
    low, high = (0, 256) if kind == "uint8" else (0, 2)
    if kind in INTEGERS:
        smallest, largest = (0, 255) if kind == "uint8" else (-(10**8), 10**8)
        low = draw(st.integers(smallest, largest))
        high = draw(st.integers(low + 1, largest + 1))
    return TensorInput(name, shape, kind, low, high)


@given(inputs())
def test_what_is_written_is_read_back(item: TensorInput) -> None:
    assert parse_input(str(item)) == item


def test_what_is_left_out() -> None:
    assert parse_input("image=1x3x8x8") == TensorInput("image", (1, 3, 8, 8), "float32")
    assert parse_input("ids=1x77:int64") == TensorInput("ids", (1, 77), "int64", 0, 2)
    assert parse_input("pixels=1x3x8x8:uint8").high == 256


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ValueError):
        found = parse_input(text)
        assert parse_input(str(found)) == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1x3x8x8", "is no input"),
        ("image=", "is no input"),
        ("image=0x3", "is no input"),
        ("a b=1x3", "is no input"),
        ("image=1x3:complex64", "no type"),
        ("image=1x3[0,4)", "for integers"),
        ("ids=1x3:int64[4,4)", "without values"),
        ("ids=1x3:uint8[0,300)", "without values"),
    ],
)
def test_what_is_no_input(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_input(text)


def test_inputs_together() -> None:
    image, mask = parse_input("image=1x3x8x8"), parse_input("mask=1x1x8x8:bool")
    check_inputs([])
    check_inputs([mask, image])
    assert first_image([mask, image]) == image
    assert first_image([mask]) == mask
    for wrong, reason in (
        ([image, image], "given twice"),
        ([parse_input("ids=1x7:int64")], "axes of an image"),
        ([TensorInput(f"x{i}", (1, 1, 1, 1)) for i in range(17)], "17 inputs"),
        ([TensorInput("x", (1, 1, MOST_VALUES, 2))], "values together"),
    ):
        with pytest.raises(ValueError, match=reason):
            check_inputs(wrong)
