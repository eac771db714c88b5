"""Recipes as TOML, as ``mvd export --recipe FILE`` reads them."""

from collections.abc import Sequence
from typing import Any

import tomlkit

from mobilevit_deploy.catalog.recipe import Recipe


def recipe_text(recipe: Recipe, comments: Sequence[str] = ()) -> str:
    """Returns a recipe as TOML.

    Args:
        recipe: whose keys that have their default are left out.
        comments: lines that stand above it.
    """
    content: dict[str, Any] = recipe.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    document = tomlkit.document()
    for line in comments:
        document.add(tomlkit.comment(line))
    for key in sorted(content, key=lambda key: _is_table(content[key])):  # of TOML, what follows a table is in it
        document.add(key, tomlkit.item(content[key]))
    return tomlkit.dumps(document)


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))
