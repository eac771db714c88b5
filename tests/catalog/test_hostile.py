"""Broken recipes of the user's own, and broken cards, recipes and devices of the catalog."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.catalog.hostile_cases import DEVICE, FAMILY, NOT_TOML, RECIPES, line_edits, read
from tests.loading.hostile_cases import PLACES
from tests.support.attacks import MANY, NET, Place, flipped, half, tenths
from tests.support.hostile import Attacks

ONNX, COREML = read("export_recipes/onnx.toml"), read("export_recipes/coreml.toml")
CAS_VIT, HOST = read("models/cas_vit.toml"), read("devices/host.toml")
# What a family's own code gives a meaning to.
FREE = ("architecture has another type", "checkpoint.options.distillation_head is called otherwise")
GOOD_RECIPES = {"onnx": ONNX, "coreml": COREML}
RECIPE_EDITS = {f"{name}, {what}": text for name in GOOD_RECIPES for what, text in line_edits(GOOD_RECIPES[name])}
FAMILY_EDITS = {what: text for what, text in line_edits(CAS_VIT) if not what.endswith(FREE)}
DEVICE_EDITS = dict(line_edits(HOST))
READ = "is no folder of images"  # the step after a recipe was read
USE_CARDS = "tests.catalog.hostile_cases:use_cards"


def export(recipe: Path, target: str = "onnx") -> tuple[object, ...]:
    """Returns an export with a recipe, and with images that are not there for a recipe that is right."""
    return ("export", NET, "--to", target, "--input-size", "8", "--recipe", recipe, "--images", "none")


def check(refuse: Attacks, cases: Iterable[Any], make: Callable[[Place, Any], Path]) -> None:
    found = refuse(cases, lambda place, case: export(make(place, case)))
    assert [case for case, done in found.items() if READ in done.errors] == []


def changed(text: str, change: tuple[str, str]) -> str:
    assert change[0] in text
    return text.replace(*change)


def place_cards(place: Place, **texts: str) -> None:
    """Writes the catalog's folders, with other texts in them by folder."""
    good = {"models": ("cas_vit.toml", CAS_VIT), "export_recipes": ("onnx.toml", ONNX), "devices": ("host.toml", HOST)}
    for folder, (name, text) in good.items():
        place.write(f"{folder}/{name}", texts.get(folder, text))


def test_good_cards_pass(attack: Attacks) -> None:
    def make(place: Place, _: str) -> tuple[object, ...]:
        place_cards(place)
        return ("list",)

    assert attack(["cards"], make, USE_CARDS)["cards"].code == 0
    found = attack(["a recipe"], lambda place, _: export(place.write("mine.toml", ONNX)))
    assert READ in found["a recipe"].errors


@MANY
def test_recipes_line_by_line(refuse: Attacks, many: bool) -> None:
    def make(place: Place, case: str) -> tuple[object, ...]:
        return export(place.write("mine.toml", RECIPE_EDITS[case]), case.partition(",")[0])

    found = refuse(half(RECIPE_EDITS, many), make)
    assert [case for case, done in found.items() if READ in done.errors] == []


def test_recipes_that_refer_to_nothing(refuse: Attacks) -> None:
    check(refuse, RECIPES, lambda place, case: place.write("mine.toml", changed(ONNX, RECIPES[case])))


def test_no_toml(refuse: Attacks) -> None:
    check(refuse, NOT_TOML, lambda place, case: place.write("mine.toml", NOT_TOML[case]))


def test_what_is_no_file(refuse: Attacks) -> None:
    def make(place: Place, case: str) -> Path:
        PLACES[case](place.given / "mine.toml")
        return place.given / "mine.toml"

    check(refuse, PLACES, make)


@MANY
def test_truncated(refuse: Attacks, many: bool) -> None:
    cut = list(tenths(ONNX.encode()))
    check(refuse, half(range(10), many), lambda place, tenth: place.write("mine.toml", cut[tenth]))


@MANY
def test_families_line_by_line(refuse: Attacks, many: bool) -> None:
    def make(place: Place, case: str) -> tuple[object, ...]:
        place_cards(place, models=FAMILY_EDITS[case])
        return ("list",)

    refuse(half(FAMILY_EDITS, many), make, USE_CARDS)


def test_families_that_refer_to_nothing(refuse: Attacks) -> None:
    def make(place: Place, case: str) -> tuple[object, ...]:
        text = changed(CAS_VIT, FAMILY[case])
        place_cards(place, models=text)
        name = text.split('"')[1]
        return ("export", f"{name}_xs", "--to", "onnx", "--input-size", "64", "--images", "none")

    refuse(FAMILY, make, USE_CARDS)


def test_devices(refuse: Attacks) -> None:
    def make(place: Place, case: str) -> tuple[object, ...]:
        place_cards(place, devices=DEVICE_EDITS[case] if case in DEVICE_EDITS else changed(HOST, DEVICE[case]))
        return ("latency", "a.onnx", "--device", "host")

    refuse([*DEVICE_EDITS, *DEVICE], make, USE_CARDS)


@MANY
def test_flipped_bytes(attack: Attacks, many: bool) -> None:
    made = flipped(ONNX.encode(), 30, many)
    found = attack(range(len(made)), lambda place, number: export(place.write("mine.toml", made[number])))
    assert {done.code for done in found.values()} <= {1, 2}
