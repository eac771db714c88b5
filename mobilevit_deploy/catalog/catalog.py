"""The data folders as typed cards; the only module that knows where the data lies.

``models/<family>.toml`` holds one family and its variants, ``models/heads/<head>.toml`` a neck and a head for the maps
of any family, ``export_recipes/<name>.toml`` a way to a target, ``devices/<name>.toml`` a machine to measure on. A new
file is a new entry.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from mobilevit_deploy.catalog.cards import Card, Device
from mobilevit_deploy.catalog.head_card import HeadCard
from mobilevit_deploy.catalog.head_declaration import DECLARATIONS, DetectorDeclaration, SegmenterDeclaration
from mobilevit_deploy.catalog.model_card import Family, InputRule, ModelCard, Task
from mobilevit_deploy.catalog.recipe import Recipe
from mobilevit_deploy.errors import CatalogError, ChoiceError, MvdError
from mobilevit_deploy.system import plugins
from mobilevit_deploy.system.text_files import read_limited
from mobilevit_deploy.system.wrong_values import wrong_values

DEFAULT_MODEL = "cas_vit_m"  # what `mvd latency` measures when nothing is named and nothing was exported yet

LARGEST_CARD = 2**20  # bytes; the largest here has 7 kB


CardT = TypeVar("CardT", bound=Card)


def _folder(name: str) -> Path:
    package = Path(__file__).parents[1]
    installed = package / "_data" / name
    return installed if installed.is_dir() else package.parent / name


def _read(path: Path, card: type[CardT]) -> CardT:
    return _validate(path, _load(path), card)


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_limited(path, LARGEST_CARD, "give a TOML file").decode("utf-8"))
    except MvdError as error:
        raise CatalogError(error.message, error.hint) from error
    except (ValueError, RecursionError) as error:  # TOML, UTF-8, a number of too many digits; many brackets
        raise CatalogError(f"{path} is not TOML: {error}") from error


def _validate(
    path: Path, content: Mapping[str, Any], card: type[CardT], wrong: str | None = None, hint: str | None = None
) -> CardT:
    """Returns what a file says; raises CatalogError, with what it is wrong as, where it is none of these cards."""
    try:
        return card.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(wrong_values(error, card))
        raise CatalogError(f"{path.name} {wrong or f'is not a {card.__name__} card'}: {problems}", hint) from error
    except (ValueError, RecursionError) as error:  # as above
        raise CatalogError(f"{path} is not TOML: {error}") from error


def _find(cards: Mapping[str, CardT], name: str, what: str, where: str) -> CardT:
    if name in cards:
        return cards[name]
    near = get_close_matches(name, cards, n=1)
    raise ChoiceError(
        f"there is no {what} named {name!r}", f"did you mean {near[0]!r}?" if near else f"{where}: {', '.join(cards)}"
    )


@cache
def models() -> Mapping[str, ModelCard]:
    """Returns every model card by name, in the order of the files and of the variants in them."""
    cards = {}
    for path in sorted(_folder("models").glob("*.toml")):
        family = _read(path, Family)
        for key, variant in family.variants.items():
            name = f"{family.family}_{key}"
            cards[name] = ModelCard(name=name, family=family, variant=variant)
    return cards


@cache
def heads() -> Mapping[Task, HeadCard]:
    """Returns every head's card by its task."""
    cards = (_read(path, HeadCard) for path in sorted((_folder("models") / "heads").glob("*.toml")))
    return {card.task: card for card in cards}


def tasks_of(card: ModelCard) -> tuple[Task, ...]:
    """Returns what a model can be exported for: its own tasks, and those of the heads that its maps do for."""
    added = {task for task, head in heads().items() if set(head.strides) <= set(card.family.map_strides)}
    return tuple(task for task in get_args(Task) if task in {*card.family.tasks, *added})


def input_rule(card: ModelCard, task: Task) -> InputRule:
    """Returns which image sizes a model takes for a task."""
    return heads()[task].sizes if task in heads() else card.family.input


@cache
def recipes() -> Mapping[str, Recipe]:
    """Returns every recipe by name; those of targets that other packages add are in their own folders."""
    added = [plugins.folder_of(plugin) / "recipe.toml" for plugin in plugins.plugins(plugins.TARGETS).values()]
    cards = (_read(path, Recipe) for path in (*sorted(_folder("export_recipes").glob("*.toml")), *added))
    return {recipe.name: recipe for recipe in cards}


@cache
def devices() -> Mapping[str, Device]:
    """Returns every device profile by name, those that other packages add too."""
    added = [plugins.folder_of(plugin) for plugin in plugins.plugins(plugins.DEVICES).values()]
    cards = (_read(path, Device) for folder in (_folder("devices"), *added) for path in sorted(folder.glob("*.toml")))
    return {device.name: device for device in cards}


def model(name: str) -> ModelCard:
    """Returns a model card; raises ChoiceError with the nearest name when there is none."""
    if name.endswith(".py"):
        raise ChoiceError(f"{name} is a file, and not a function that returns a model", f"give {name}:FUNCTION")
    suffixes = {recipe.format.suffix for recipe in recipes().values() if recipe.format}
    if name not in models() and Path(name).suffix in suffixes:
        raise ChoiceError(
            f"{name} is no model but a file for a phone", "mvd inspect, verify, predict and latency take it"
        )
    if name not in models() and Path(name).is_file():
        raise ChoiceError(
            f"{name} is a file, and not a model's name",
            f"mvd export takes a checkpoint in its place; other commands take MODEL --checkpoint {name}",
        )
    return _find(models(), name, "model", "give one of these, path/to/file.py:function, or timm:NAME")


def sources() -> tuple[str, ...]:
    """Returns what a MODEL of a library may begin with, as in ``timm:NAME``; no library is looked for."""
    folder = Path(__file__).parents[1] / "loading" / "sources"
    own = (path.stem for path in folder.glob("*.py") if path.stem.isidentifier() and not path.stem.startswith("_"))
    return tuple(sorted({*own, *plugins.plugins(plugins.MODELS)}))


def is_reconstruction(name: str) -> bool:
    """Tells whether a model, or an artifact by its file name, is rebuilt from a paper that came without code."""
    stem = name.partition("-")[0]
    return stem in models() and models()[stem].family.reconstruction


def is_own_code(reference: str) -> bool:
    """Tells whether a MODEL argument names no card: ``file.py:function``, or ``source:name``."""
    return ":" in reference


def artifact_name(reference: str) -> str:
    """Returns a model's name in artifacts; of own code, file and function, or one where they are the same.

    Of ``hf:path/to/folder`` it is the folder's own name: no artifact tells where it lay.
    """
    if not is_own_code(reference):
        return reference
    place, _, function = reference.rpartition(":")
    if "/" in function or function == ".":
        function = Path(os.path.abspath(function)).name  # noqa: PTH100 - resolve() would follow a link to another name
    stem = Path(place).stem if place.endswith(".py") else place.rsplit(".", 1)[-1]
    return re.sub(r"\W", "_", function if stem == function else f"{stem}_{function}")


def recipe(name: str) -> Recipe:
    """Returns a recipe by name, or from a TOML file of the user's own; raises CatalogError."""
    if name.endswith(".toml"):
        return _read(Path(name), Recipe)
    return _find(recipes(), name, "recipe", "the recipes are")


def head_declaration(path: Path) -> DetectorDeclaration | SegmenterDeclaration:
    """Returns what a TOML file of the user's says of a model's own head; raises CatalogError."""
    content = _load(path)
    task = content.get("task")
    if task not in DECLARATIONS:
        raise CatalogError(
            f"{path.name} declares no head: task is {str(task)[:40]!r}",
            f"give task = {' or '.join(map(repr, DECLARATIONS))}",
        )
    return _validate(
        path,
        content,
        DECLARATIONS[task],
        f"does not declare a head for {task}",
        "docs/how-to/own-heads.md has all keys",
    )


def device(name: str) -> Device:
    """Returns a device profile; raises CatalogError with the nearest name when there is none."""
    return _find(devices(), name, "device", "the devices are")
