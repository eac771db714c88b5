"""Which precisions a search may try; nothing here needs more than what was typed, so it is refused at once."""

from collections.abc import Sequence

from mobilevit_deploy.catalog.recipe import Precision, Recipe
from mobilevit_deploy.errors import UsageError


def allowed_precisions(
    recipe: Recipe, given: Sequence[str], max_loss: float | None, *, images: bool, calibrated: bool
) -> list[Precision]:
    """Returns the precisions that are allowed: that of the default file, then in the order in which they are tried.

    It is the order in which they are given; else int8 comes first, for which there are images.

    Args:
        recipe: the default one.
        given: by name; none for the default one, or with ``max_loss`` for all that the recipe writes.
        max_loss: points of accuracy that a file may lose; None for no bound.
        images: whether there are images to measure accuracy on.
        calibrated: whether there are images to calibrate int8 on.

    Raises:
        UsageError: options that do not go together.
        ChoiceError: the recipe does not write such a precision.
    """
    allowed = [recipe.choose_precision(name) for name in dict.fromkeys(given)]
    if max_loss is not None and not images:
        raise UsageError("--max-loss is of accuracy on images, and there are none", "add --images DIR|FILE")
    if not allowed and max_loss is not None:
        allowed = sorted((name for name in recipe.tolerances if name != "int8" or calibrated), key="int8".__ne__)
    if "int8" in allowed and not calibrated:
        raise UsageError(
            "int8 chooses its ranges by images, and there are none",
            "add --calibrate DIR|FILE with images of the kind that the model will see",
        )
    if calibrated and "int8" not in allowed:
        raise UsageError("--calibrate is for int8", "add int8 to --precision, or --max-loss and --images")
    default = recipe.default_precision if recipe.default_precision in allowed or not allowed else allowed[0]
    return [default, *(name for name in allowed if name != default)]
