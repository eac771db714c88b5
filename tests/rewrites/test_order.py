"""What holds for every rewrite."""

from pathlib import Path

import pytest

from mobilevit_deploy import rewrites
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import CatalogError
from mobilevit_deploy.rewrites.order import REWRITES, chosen_rewrites

HERE = Path(__file__).parent
FOLDER = Path(rewrites.__file__).parent


def test_every_file_is_listed_once_and_named_like_its_rewrite() -> None:
    files = sorted(path.stem for path in FOLDER.glob("*/*.py") if path.stem != "__init__")
    assert sorted(rewrite.name for rewrite in REWRITES) == files
    assert [type(rewrite).__module__.rsplit(".", 1)[-1] for rewrite in REWRITES] == [r.name for r in REWRITES]


def test_every_rewrite_has_its_own_test_module() -> None:
    tests = {path.relative_to(HERE).as_posix() for path in HERE.glob("*/test_*.py")}
    kinds = {rewrite.name: type(rewrite).__module__.split(".")[-2] for rewrite in REWRITES}
    assert {f"{kinds[name]}/test_{name}.py" for name in kinds} <= tests


def test_every_rewrite_is_in_a_recipe_and_has_a_source() -> None:
    used = {item.name for recipe in catalog.recipes().values() for item in recipe.rewrites}
    assert used == {rewrite.name for rewrite in REWRITES}
    assert all(rewrite.source for rewrite in REWRITES)


def test_recipes_take_the_order_of_the_list() -> None:
    for recipe in catalog.recipes().values():
        chosen = [rewrite.name for rewrite in chosen_rewrites(recipe)]
        assert chosen == [rewrite.name for rewrite in REWRITES if rewrite.name in chosen]
        assert [item.name for item in recipe.rewrites] == chosen, "the recipe reads in the order that it runs"


def test_an_unknown_rewrite_is_refused() -> None:
    recipe = catalog.recipe("onnx")
    wrong = recipe.model_copy(update={"rewrites": (recipe.rewrites[0].model_copy(update={"name": "fold_nothing"}),)})
    with pytest.raises(CatalogError, match="fold_nothing"):
        chosen_rewrites(wrong)
