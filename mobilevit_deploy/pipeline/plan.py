"""What to make of a model for one target: what was asked for, and then every choice made."""

from dataclasses import dataclass, field

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.calibration import check_calibrated
from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.catalog.recipe import Precision, Recipe
from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.rewrites.order import chosen_rewrites
from mobilevit_deploy.targets.app_options import (
    CARD_LABELS,
    AppOptions,
    Compression,
    read_labels,
)
from mobilevit_deploy.targets.compression import Floor, check_installed, choose_compression
from mobilevit_deploy.targets.registry import target as find_target


@dataclass(frozen=True)
class TargetRequest:
    """What to make of a model for one target; ``None`` leaves the choice to the recipe.

    ``recipe`` is by default the one that has the target's name; ``version`` the opset or the iOS floor;
    ``calibrated`` tells whether there are images to calibrate on, ``allow_precision_loss`` whether half precision may
    cost what it costs.
    """

    target: str
    recipe: str | None = None
    precision: str | None = None
    version: int | None = None
    rewrite: bool = True
    app: AppOptions = field(default_factory=AppOptions)
    calibrated: bool = False
    sensitivity: bool = False
    allow_precision_loss: bool = False


@dataclass(frozen=True)
class Plan:
    """A target request with every choice made."""

    recipe: Recipe
    precision: Precision
    version: int | None
    rewrite: bool
    app: AppOptions
    labels: tuple[str, ...] | None
    compression: Compression | None
    sensitivity: bool = False
    allow_precision_loss: bool = False


def plan_target(request: TargetRequest) -> Plan:
    """Makes every choice; raises CatalogError or UsageError for one that cannot be."""
    find_target(request.target)  # a missing package is refused before anything runs
    known = format_of(request.target)
    recipe = catalog.recipe(request.recipe or request.target)
    if recipe.target != request.target:
        raise UsageError(
            f"recipe {recipe.name} is for {recipe.target}, not for {request.target}", f"give --to {recipe.target}"
        )
    chosen_rewrites(recipe)  # a recipe with an unknown rewrite is refused before anything runs
    version = recipe.version.choose(request.version, str(known.version)) if recipe.version else None
    precision, app = recipe.choose_precision(request.precision), request.app
    app.check()
    check_calibrated(precision, calibrated=request.calibrated)
    if app.keep_fp32 and precision == "fp32":
        raise UsageError("--keep-fp32 with --precision fp32, where everything is float32", "leave one of them out")
    floor = Floor.of(request.target, version)
    if app.int8_io and precision != "int8":
        raise UsageError("--int8-io is for int8", "add --precision int8, and --calibrate DIR|FILE for its ranges")
    if app.runtime and app.runtime not in known.runtimes:
        raise UsageError(f"there is no runtime {app.runtime!r}", f"give --for {' or '.join(known.runtimes)}")
    if app.runtime and precision != "fp32":
        raise UsageError(f"--for {app.runtime} with --precision {precision}", "leave one of them out")
    compression = choose_compression(recipe, precision, app.prune, floor)
    if compression:
        check_installed(compression)
    labels = read_labels(app.labels) if app.labels and str(app.labels) != CARD_LABELS else None
    return Plan(
        recipe,
        precision,
        version,
        request.rewrite,
        app,
        labels,
        compression,
        request.sensitivity,
        request.allow_precision_loss and precision not in ("fp32", "int8"),
    )
