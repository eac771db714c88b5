"""Boxes in COCO's format: which class each is of, and what is refused of a file that anyone may have written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images import boxes
from mobilevit_deploy.images.boxes import BoxedImages, read_boxed
from mobilevit_deploy.images.outlines import area_of
from tests.support.annotated import coco, pictures, write_boxes, write_pictures

CARD = catalog.heads()["detect"].preprocessing
SIZE = (3, 32, 32)
CONTENT = coco(
    [(40, 60), (60, 40)],
    [(0, 0, (1, 2, 3, 4)), (1, 2, (5, 6, 7, 8)), (0, 1, (9, 10, 11, 12))],
    ("cat", "dog", "kite"),
)


def read(
    path: Path, classes: tuple[str, ...] = ("cat", "dog", "kite"), *, named: bool = True, limit: int | None = None
) -> BoxedImages:
    return read_boxed(path / "images", path / "boxes.json", SIZE, CARD, classes, limit, named=named)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "images", [*pictures(1, 40, 60), *pictures(1, 60, 40)])
    write_boxes(tmp_path / "boxes.json", CONTENT)
    return tmp_path


def test_categories_are_classes_by_name(folder: Path) -> None:
    found = read(folder)
    assert [own.labels.tolist() for own in found.boxes] == [[0, 1], [2]]
    assert found.boxes[0].boxes.tolist() == [[1, 2, 3, 4], [9, 10, 11, 12]]
    assert [fit.resized for fit in found.images.fits] == [(21, 32), (32, 21)]
    assert [own.labels.tolist() for own in read(folder, ("kite", "cat", "dog")).boxes] == [[1, 2], [0]]
    some = read(folder, ("bird", "kite"))  # of a model that knows few of them
    assert [own.labels.tolist() for own in some.boxes] == [[], [1]]
    assert [own.labels.tolist() for own in read(folder, ("0", "1", "2"), named=False).boxes] == [[0, 1], [2]]
    assert len(read(folder, limit=1).images) == 1


SQUARE = [[1.0, 2, 4, 2, 4, 6, 1, 6]]


def read_outlined(folder: Path, *segmentations: Any) -> BoxedImages:
    """Reads the three boxes with what is given of the pixels of each."""
    boxes = [box | {"segmentation": own} for box, own in zip(CONTENT["annotations"], segmentations, strict=True)]
    write_boxes(folder / "boxes.json", CONTENT | {"annotations": boxes})
    classes = ("cat", "dog", "kite")
    return read_boxed(folder / "images", folder / "boxes.json", SIZE, CARD, classes, named=True, outlined=True)


def test_pixels_are_read_where_they_are_asked_for_and_each_box_has_some(folder: Path) -> None:
    runs = {"size": [60, 40], "counts": [10, 5, 2385]}
    found = read_outlined(folder, SQUARE, runs, SQUARE)
    assert found.outlined
    assert [[area_of(outline) for outline in own.outlines or ()] for own in found.boxes] == [[12, 12], [5]]
    assert not read_outlined(folder, [], None, []).outlined
    assert not read(folder).outlined
    with pytest.raises(MvdError, match=r"1 of the 3 boxes of boxes\.json have no segmentation"):
        read_outlined(folder, SQUARE, SQUARE, [])
    with pytest.raises(
        MvdError, match=r"a segmentation in 0\.png that cannot be read: its runs are not those of 60x40"
    ):
        read_outlined(folder, runs, runs, SQUARE)
    with pytest.raises(MvdError, match=r"no file of COCO's: annotations\[0\]\.segmentation"):
        read_outlined(folder, [[1.0, 2]], SQUARE, SQUARE)
    write_boxes(folder / "boxes.json", changed(lambda content: content["annotations"][0].update(segmentation="?")))
    assert not read(folder).outlined, "of a detector it does not matter what else the file has"


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    content = coco([(40, 60), (60, 40)], [(0, 0, (1, 2, 3, 4)), (1, 2, (5, 6, 7, 8))], ("cat", "dog", "kite"))
    change(content)
    return content


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no images": (lambda content: content.update(images=[]), "has no images"),
    "no list": (lambda content: content.update(images=3), "no file of COCO's: images: must be a list"),
    "no categories": (lambda content: content.pop("categories"), "no file of COCO's: categories: is missing"),
    "a box of three numbers": (
        lambda content: content["annotations"][0].update(bbox=[1, 2, 3]),
        r"no file of COCO's: annotations\[0\]\.bbox\[3\]: is missing",
    ),
    "a box of no number": (
        lambda content: content["annotations"][0].update(bbox=[1, 2, float("nan"), 4]),
        r"annotations\[0\]\.bbox\[2\]",
    ),
    "a negative width": (
        lambda content: content["annotations"][0].update(bbox=[9, 2, -3, 4]),
        r"annotations\[0\]\.bbox\[2\]",
    ),
    "an endless box": (
        lambda content: content["annotations"][0].update(bbox=[1, 2, 1e300, 4]),
        r"annotations\[0\]\.bbox\[2\]",
    ),
    "a missing image": (
        lambda content: content["images"][1].update(file_name="9.png"),
        r"1 of the 2 images of boxes.json are not in .*; .*9.png is missing",
    ),
    "a file elsewhere": (
        lambda content: content["images"][1].update(file_name="../images/1.png"),
        r"names '\.\./images/1\.png', which is no file of the folder",
    ),
    "an absolute path": (lambda content: content["images"][1].update(file_name="/etc/passwd"), "which is no file of"),
    "a size of another image": (
        lambda content: content["images"][1].update(width=41),
        r"1\.png has 40x60 pixels, in boxes\.json 41x60",
    ),
    "an image twice": (lambda content: content["images"][1].update(id=100), "two images of one id"),
    "a box of no image": (lambda content: content["annotations"][0].update(image_id=7), "a box of image 7"),
    "a box of no category": (lambda content: content["annotations"][0].update(category_id=9), "a box of category 9"),
    "other categories": (
        lambda content: [item.update(name=item["name"].upper()) for item in content["categories"]],
        "no category of .* is a class of the model: CAT, DOG, KITE",
    ),
    "no boxes": (lambda content: content.update(annotations=[]), "has no box of a class of the model"),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_what_is_refused(folder: Path, wrong: str) -> None:
    change, message = REFUSED[wrong]
    write_boxes(folder / "boxes.json", changed(change))
    with pytest.raises(MvdError, match=message):
        read(folder)


def test_classes_without_names_are_as_many_as_categories(folder: Path) -> None:
    with pytest.raises(MvdError, match="3 categories, the model 2 classes, and nobody named these"):
        read(folder, ("0", "1"), named=False)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"images": [' + "[" * 100_000, "\x00\xff", "9" * 10_000])
def test_what_is_no_json_of_cocos(folder: Path, text: str) -> None:
    (folder / "boxes.json").write_text(text, encoding="latin-1")
    with pytest.raises(MvdError, match=r"boxes\.json is no file of COCO's"):
        read(folder)


def test_a_file_that_is_too_large_and_one_that_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "LARGEST_FILE", 100)
    with pytest.raises(MvdError, match="is larger than"):
        read(folder)
    (folder / "boxes.json").unlink()
    with pytest.raises(MvdError, match="cannot read"):
        read(folder)
    with pytest.raises(MvdError, match=r"1\.png is no folder"):
        read_boxed(folder / "images" / "1.png", folder / "boxes.json", SIZE, CARD, ("cat",), named=True)


def test_the_library_is_asked_for_before_anything_takes_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "installed_version", lambda _name: None)
    with pytest.raises(MvdError, match="--boxes needs pycocotools, not installed here") as caught:
        read(folder)
    assert str(caught.value.hint).startswith("pip install ")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    write_pictures(folder / "images", [*pictures(1, 40, 60), *pictures(1, 60, 40)])
    return folder


TEXT = json.dumps(CONTENT).encode()


@settings(max_examples=60)
@given(st.integers(0, len(TEXT) - 1), st.sampled_from(b'0-9.e"[]{},:\\/x\x00\xff'))
def test_a_changed_letter_is_refused_or_harmless(kept: Path, place: int, letter: int) -> None:
    (kept / "boxes.json").write_bytes(TEXT[:place] + bytes([letter]) + TEXT[place + 1 :])
    try:
        found = read(kept)
    except MvdError:
        return
    assert len(found.boxes) == 2
    assert all(0 <= label < 3 for own in found.boxes for label in own.labels)
