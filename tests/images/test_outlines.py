"""The pixels of instances from COCO's polygons and runs, beside pycocotools' own; what is not theirs is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.images.outlines import Runs, area_of, outline_of, outline_of_pixels
from tests.support.annotated import pixels_of

HEIGHT, WIDTH = 30, 50


@given(st.integers(0, 500), st.floats(0.02, 0.98))
def test_runs_as_numbers_and_as_text_are_the_same_pixels(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    pixels = np.repeat(rng.random((HEIGHT, WIDTH)) < share, rng.integers(1, 9), axis=0)[:HEIGHT]
    own = outline_of_pixels(pixels)
    column = pixels.reshape(-1, order="F").astype(int)
    ends = np.flatnonzero(np.diff(np.concatenate(([0], column)))).tolist()
    counts = np.diff([0, *ends, column.size]).tolist()
    for given_as in (own["counts"].decode(), counts):
        found = outline_of(Runs(size=(HEIGHT, WIDTH), counts=given_as), HEIGHT, WIDTH)
        assert (pixels_of(found) == pixels).all()
        assert area_of(found) == pixels.sum()


def test_polygons_are_filled_and_end_at_the_border() -> None:
    square: list[float] = [10, 5, 20, 5, 20, 15, 10, 15]
    found = pixels_of(outline_of([square, [40, 20, 90, 20, 90, 28, 40, 28]], HEIGHT, WIDTH))
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[5:15, 10:20] = expected[20:28, 40:50] = True
    assert (found == expected).all()


WRONG: dict[str, Any] = {
    "an x without a y": [[1.0, 2, 3, 4, 5, 6, 7]],
    "runs of another picture": Runs(size=(WIDTH, HEIGHT), counts=[HEIGHT * WIDTH]),
    "too few": Runs(size=(HEIGHT, WIDTH), counts=[3, 4]),
    "too many": Runs(size=(HEIGHT, WIDTH), counts=[HEIGHT * WIDTH, 1]),
    "no text of pycocotools": Runs(size=(HEIGHT, WIDTH), counts="Zürich"),
    "a text that does not end": Runs(size=(HEIGHT, WIDTH), counts="o"),
    "a number without an end": Runs(size=(HEIGHT, WIDTH), counts="o" * 100),
    "a negative length": Runs(size=(HEIGHT, WIDTH), counts="@"),
    "nothing": Runs(size=(HEIGHT, WIDTH), counts=""),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_outline_is_refused(case: str) -> None:
    with pytest.raises(ValueError, match=r"runs|a polygon"):
        outline_of(WRONG[case], HEIGHT, WIDTH)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12))
def test_any_text_is_refused_or_fills_the_picture(text: str) -> None:
    try:
        found = outline_of(Runs(size=(HEIGHT, WIDTH), counts=text), HEIGHT, WIDTH)
    except ValueError:
        return
    assert pixels_of(found).shape == (HEIGHT, WIDTH)
