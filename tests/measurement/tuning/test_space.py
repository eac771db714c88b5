"""What a recipe leaves open, and candidates as recipes."""

import tomllib

import pytest

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.recipe import Recipe
from mobilevit_deploy.catalog.tuning import OpenChoices
from mobilevit_deploy.measurement.latency.settings import read_settings
from mobilevit_deploy.measurement.tuning.recipe_file import recipe_text
from mobilevit_deploy.measurement.tuning.space import DEFAULT, Candidate, Change, open_changes, recipe_of
from mobilevit_deploy.pipeline.prepare import quantization_rule
from mobilevit_deploy.rewrites.order import REWRITES, chosen_rewrites

RECIPES = list(catalog.recipes())
FAMILY = catalog.model("cas_vit_xs").family


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_open_is_there(name: str) -> None:
    """Every name is a rewrite's, and every entry one that ONNX Runtime knows; a target that is timed here has some."""
    recipe = catalog.recipe(name)
    choices = recipe.tuning
    assert (choices is not None) == (recipe.format is not None and recipe.format.worker is not None)
    if choices:
        assert {*choices.leave_out, *choices.add} <= {rewrite.name for rewrite in REWRITES}
        read_settings(options=choices.session)


def test_a_recipe_that_leaves_out_what_it_has_not_is_refused() -> None:
    content = catalog.recipe("onnx").model_dump()
    for choices in (
        OpenChoices(leave_out=("merge_axes",), reason="it has none"),
        OpenChoices(add=("fold_scale",), reason="it has it"),
    ):
        with pytest.raises(ValueError, match="tuning leaves out rewrites that the recipe has"):
            Recipe.model_validate({**content, "tuning": choices.model_dump()})


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_read_as_it_was_written(name: str) -> None:
    recipe = catalog.recipe(name)
    text = recipe_text(recipe, ["a comment, \u201cquoted\u201d"])
    assert text.startswith("# a comment")
    assert Recipe.model_validate(tomllib.loads(text)) == recipe
    mine = recipe_of(DEFAULT, recipe, FAMILY, "mine", recipe.default_precision)
    assert Recipe.model_validate(tomllib.loads(recipe_text(mine))) == mine
    assert (mine.rewrites, mine.tolerances, mine.quantization) == (
        recipe.rewrites,
        recipe.tolerances,
        recipe.quantization,
    )


def test_a_candidate_exports_without_further_options() -> None:
    recipe = catalog.recipe("onnx")
    changes = [
        Change("precision", "int8"),
        Change("leave_out", "fold_scale"),
        Change("add", "merge_axes"),
        Change("float32", "Gemm"),
        Change("int8", "patch_embed.0"),
    ]
    candidate = Candidate(frozenset(changes))
    assert candidate.names == (
        "int8", "without fold_scale", "with merge_axes", "Gemm in float32", "module patch_embed.0 in int8",
    )  # fmt: skip
    made = recipe_of(candidate, recipe, FAMILY, "mine", "fp32")
    assert (made.name, made.default_precision, made.format, made.tuning) == ("mine", "int8", None, None)
    names = {rewrite.name for rewrite in chosen_rewrites(made)}
    assert "fold_scale" not in names
    assert "merge_axes" in names
    before, after = quantization_rule(recipe, FAMILY), quantization_rule(made, FAMILY)
    assert before
    assert after
    assert set(before.op_types) - set(after.op_types) == {"Gemm"}
    assert (after.keep_float, after.float_results) == ((), ())
    own = recipe_of(candidate, recipe, None, "mine", "fp32")
    assert own.quantization
    assert own.quantization.op_types == ("Conv", "MatMul")


def test_only_what_would_change_the_file_is_open() -> None:
    recipe = catalog.recipe("onnx")
    fires = {"fold_batch_norm", "split_convolution", "keep_reduced_axes", "merge_slices"}
    found = open_changes(recipe, None, fires, set())
    assert found == (Change("leave_out", "split_convolution"), Change("add", "keep_reduced_axes"))
    rule = quantization_rule(recipe, FAMILY)
    int8 = open_changes(recipe, rule, set(), {"Conv", "Add", "MaxPool"})
    assert set(int8) == {Change("float32", "Conv"), Change("float32", "Add"), Change("int8", "patch_embed.0")}
    assert Change("float32", "Conv") not in open_changes(recipe, rule, set(), {"Conv"})
