"""Broken recipes of the user's own, and broken cards, recipes and devices of the catalog."""

from pathlib import Path

import pytest

from tests.catalog.hostile_cases import DEVICE, FAMILY, NOT_TOML, RECIPES, line_edits, read
from tests.loading.hostile_cases import PLACES
from tests.support.attacks import MANY, NET, Place, attack, flip, half, tenths
from tests.support.forks import Forks
from tests.support.hostile import Refuse

ONNX, COREML = read("export_recipes/onnx.toml"), read("export_recipes/coreml.toml")
CAS_VIT, HOST = read("models/cas_vit.toml"), read("devices/host.toml")
# What a family's own code gives a meaning to.
FREE = ("architecture has another type", "checkpoint.options.distillation_head is called otherwise")
GOOD_RECIPES = {"onnx": ONNX, "coreml": COREML}
RECIPE_EDITS = {f"{name}, {what}": text for name in GOOD_RECIPES for what, text in line_edits(GOOD_RECIPES[name])}
FAMILY_EDITS = {what: text for what, text in line_edits(CAS_VIT) if not what.endswith(FREE)}
DEVICE_EDITS = dict(line_edits(HOST))
USE_CARDS = "tests.catalog.hostile_cases:use_cards"


def export(recipe: Path, target: str = "onnx") -> tuple[object, ...]:
    """Returns an export with a recipe, and with images that are not there for a recipe that is right."""
    return ("export", NET, "--to", target, "--input-size", "8", "--recipe", recipe, "--images", "none")


def check(refuse: Refuse, path: Path, target: str = "onnx") -> None:
    assert "is no folder of images" not in refuse(*export(path, target)).errors, "the recipe was accepted"


def changed(text: str, change: tuple[str, str]) -> str:
    assert change[0] in text
    return text.replace(*change)


def place_cards(place: Place, **texts: str) -> None:
    """Writes the catalog's folders, with other texts in them by folder."""
    good = {"models": ("cas_vit.toml", CAS_VIT), "export_recipes": ("onnx.toml", ONNX), "devices": ("host.toml", HOST)}
    for folder, (name, text) in good.items():
        place.write(f"{folder}/{name}", texts.get(folder, text))


def test_good_cards_pass(forks: Forks, place: Place) -> None:
    place_cards(place)
    assert attack(forks, place, ("list",), USE_CARDS).code == 0
    assert "is no folder of images" in attack(forks, place, export(place.write("mine.toml", ONNX))).errors


@pytest.mark.parametrize("case", half(RECIPE_EDITS))
def test_recipes_line_by_line(refuse: Refuse, place: Place, case: str) -> None:
    check(refuse, place.write("mine.toml", RECIPE_EDITS[case]), case.partition(",")[0])


@pytest.mark.parametrize("case", RECIPES)
def test_recipes_that_refer_to_nothing(refuse: Refuse, place: Place, case: str) -> None:
    check(refuse, place.write("mine.toml", changed(ONNX, RECIPES[case])))


@pytest.mark.parametrize("case", NOT_TOML)
def test_no_toml(refuse: Refuse, place: Place, case: str) -> None:
    check(refuse, place.write("mine.toml", NOT_TOML[case]))


@pytest.mark.parametrize("case", PLACES)
def test_what_is_no_file(refuse: Refuse, place: Place, case: str) -> None:
    PLACES[case](place.given / "mine.toml")
    check(refuse, place.given / "mine.toml")


@pytest.mark.parametrize("tenth", half(range(10)))
def test_truncated(refuse: Refuse, place: Place, tenth: int) -> None:
    check(refuse, place.write("mine.toml", list(tenths(ONNX.encode()))[tenth]))


@pytest.mark.parametrize("case", half(FAMILY_EDITS))
def test_families_line_by_line(refuse: Refuse, place: Place, case: str) -> None:
    place_cards(place, models=FAMILY_EDITS[case])
    refuse("list", prepare=USE_CARDS)


@pytest.mark.parametrize("case", FAMILY)
def test_families_that_refer_to_nothing(refuse: Refuse, place: Place, case: str) -> None:
    text = changed(CAS_VIT, FAMILY[case])
    place_cards(place, models=text)
    name = text.split('"')[1]
    refuse("export", f"{name}_xs", "--to", "onnx", "--input-size", "64", "--images", "none", prepare=USE_CARDS)


@pytest.mark.parametrize("case", [*DEVICE_EDITS, *DEVICE])
def test_devices(refuse: Refuse, place: Place, case: str) -> None:
    place_cards(place, devices=DEVICE_EDITS[case] if case in DEVICE_EDITS else changed(HOST, DEVICE[case]))
    refuse("latency", "a.onnx", "--device", "host", prepare=USE_CARDS)


@MANY
def test_flipped_bytes(forks: Forks, tmp_path_factory: pytest.TempPathFactory, many: bool) -> None:
    def check(changed: bytes) -> None:
        place = Place(tmp_path_factory.mktemp("place"))
        assert attack(forks, place, export(place.write("mine.toml", changed))).code in (1, 2)

    flip(ONNX.encode(), 30, many, check)
