"""The pictures of the documentation are what the code makes today."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from tools.docs.drawing import Box, arrange, side_by_side
from tools.docs.export_picture import PICTURE
from tools.docs.rewrite_lists import families, family_of
from tools.docs.rewrite_pictures import EXAMPLES, FOLDER, picture, rewrite_named

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / ".ci" / "requirements.lock").read_text().splitlines()
LOCKED = dict(line.split("==") for line in LOCK if not line.startswith("#"))
SAME_TORCH = Version(version("torch")).base_version == LOCKED["torch"]


@pytest.mark.skipif(not SAME_TORCH, reason="another torch than that of the lock file captures other graphs")
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_picture_is_what_the_rewrite_does(name: str) -> None:
    stored = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert picture(name) == stored, "python -m tools.docs.rewrite_pictures writes it anew"


def test_every_family_has_a_picture_and_every_picture_an_example() -> None:
    assert {family_of(rewrite_named(name)) for name in EXAMPLES} == set(families())
    assert {path.stem for path in FOLDER.glob("*.svg")} == set(EXAMPLES)
    shown = {
        name
        for page in (ROOT / "docs" / "background" / "rewrites").glob("*.md")
        for name in re.findall(r"images/rewrites/(\w+)\.svg", page.read_text())
    }
    assert shown == set(EXAMPLES)


@pytest.mark.parametrize("path", [PICTURE, *sorted(FOLDER.glob("*.svg"))], ids=lambda path: path.stem)
def test_a_picture_loads_nothing_from_elsewhere(path: Path) -> None:
    addresses = set(re.findall(r"https?://[^\"\s]+", path.read_text(encoding="utf-8")))
    assert addresses == {"http://www.w3.org/2000/svg"}


def test_the_picture_of_an_export_shows_one_that_passed() -> None:
    text = PICTURE.read_text(encoding="utf-8")
    assert "computes&#160;what&#160;PyTorch&#160;computes" in text
    assert "failed" not in text
    command = re.sub(r"&#160;", " ", text)
    assert "mvd export cas_vit_xs --checkpoint checkpoint_best.pth" in command


BEFORE = [
    Box("x", ("input",), ()),
    Box("a", ("conv2d", "weight 8x8"), ("x",), changed=True),
    Box("b", ("relu",), ("a",)),
    Box("c", ("add",), ("b", "x")),
    Box("o", ("output",), ("c",)),
]


def test_what_is_read_stands_above_and_nothing_overlaps() -> None:
    layout = arrange(BEFORE)
    for box in BEFORE:
        place = layout.places[box.name]
        assert place.x - box.width / 2 >= 0
        assert place.x + box.width / 2 <= layout.width + 1e-6
        assert all(layout.places[name].y + layout.places[name].height < place.y for name in box.reads)
    around = layout.lines[3]  # from the input past two rows to the sum
    assert len(around) == 4
    assert all(abs(bend.x - layout.places[name].x) > 20 for bend, name in zip(around[1:3], "ab", strict=True))


def test_a_picture_tells_what_changed() -> None:
    svg = side_by_side("t", BEFORE, [BEFORE[0], Box("o", ("output",), ("x",))])
    assert svg.count('<g class="gone">') == 1
    assert "before: 3 calls" in svg
    assert "after: 0 calls" in svg
