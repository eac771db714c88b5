"""What the cards alone tell to be wrong of what was typed: seconds before PyTorch is imported."""

from collections.abc import Sequence

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.calibration import check_calibrated, check_int8_options
from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.catalog.model_card import Task


def check_typed(
    model: str | None,
    targets: Sequence[str],
    *,
    task: Task,
    size: Sequence[int] | None = None,
    recipe: str | None = None,
    precision: str | None = None,
    versions: dict[str, int | None] | None = None,
    calibrated: bool | None = None,
    sensitivity: bool = False,
) -> None:
    """Looks up every name and value that a card has; what needs the model itself is left to the export.

    Args:
        model: the MODEL argument, None for one that is not known yet; one's own code and a library's have no card.
        targets: to export to.
        task: of the export.
        size: of the images, (height, width) or with the channels before it.
        recipe: as given; each target's own without.
        precision: as given; the recipe's own without.
        versions: as given, by their options, such as ``--opset``.
        calibrated: whether there are images to calibrate int8 on; None where another place tells.
        sensitivity: whether the report is to say what each module's int8 costs.

    Raises:
        ChoiceError: there is no such model, recipe, precision or version, or the model takes no such size.
        CatalogError: the recipe is a file that is none.
        UsageError: int8 without images, or an option of int8 with another precision.
    """
    if model and not catalog.is_own_code(model):
        card = catalog.model(model)
        if size and task in catalog.tasks_of(card):
            catalog.input_rule(card, task).check(card.name, task, *tuple(size)[-2:])
    for target in targets:
        known, found = format_of(target), catalog.recipe(recipe or target)
        chosen = found.choose_precision(precision)
        if calibrated is not None:
            check_calibrated(chosen, calibrated=calibrated)
        version = (versions or {}).get(known.version_option or "")
        if found.version and version is not None:
            found.version.choose(version, str(known.version))
    if calibrated is not None:
        check_int8_options(precision, calibrated=calibrated, sensitivity=sensitivity)
