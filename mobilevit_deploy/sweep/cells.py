"""The cells of a sweep: what its matrix comes to, one by one."""

import glob
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

from pydantic import ValidationError

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.calibration import NO_IMAGES
from mobilevit_deploy.catalog.typed import check_typed
from mobilevit_deploy.checks.plan import ON_ANDROID, Check, beside
from mobilevit_deploy.errors import CatalogError, ChoiceError
from mobilevit_deploy.report.matrix.record import MOST_CELLS
from mobilevit_deploy.sweep.plan import PAGE, LatencyRule, ModelEntry, SweepFile
from mobilevit_deploy.system.wrong_values import wrong_values

AXES = {"model": "models", "to": "targets", "checkpoint": "checkpoints", "precision": "precisions",
        "input_size": "sizes"}  # fmt: skip  # keys of a check, and what the matrix calls them
MATCHING = ("exclude", "adjust")  # tables that are for the cells which have some values
OPTION = re.compile(r"--([a-z][a-z-]+)")
HOST = "host"
RESOURCES = {"iphone": "IPHONE", "android": "ANDROID", HOST: "QUIET"}  # by the kind of what latency is measured on


@dataclass(frozen=True)
class PlannedCell:
    """One export of a sweep.

    Attributes:
        id: what it is called.
        values: of the matrix, by axis; None where the matrix says nothing.
        check: the export and its limits, with paths that can be opened.
        latency: how it is measured; None for not at all.
        needs: what a worker must have, by the names of Dask's resources.
    """

    id: str
    values: Mapping[str, str | None]
    check: Check
    latency: LatencyRule | None
    needs: Mapping[str, float]

    @property
    def precision(self) -> str:
        """Returns the precision, that of the recipe where the matrix names none."""
        return catalog.recipe(self.check.recipe or self.check.to).choose_precision(self.check.precision)


def cells_of(sweep: SweepFile, folder: Path) -> list[PlannedCell]:
    """Returns every cell, in the order of the file.

    Args:
        sweep: what it says.
        folder: that it lies in, and that its paths are relative to.

    Raises:
        CatalogError: there are too many or none, two are called the same, or what one asks for there is not.
    """
    found = {}
    unused = {(table, place) for table in MATCHING for place in range(len(getattr(sweep, table)))}
    for entry, values in _combinations(sweep, folder):
        excluding, adjusting = (_fitting(sweep, table, values) for table in MATCHING)
        unused -= excluding or adjusting  # of a cell that is left out nothing is changed
        if excluding:
            continue
        cell = _cell(sweep, entry, values, folder)
        if cell.id in found:
            raise CatalogError(f"two cells are called {cell.id!r}", "name each model, checkpoint and size once")
        found[cell.id] = cell
    if not found:
        raise CatalogError("every cell is excluded", "leave a table [[exclude]] out")
    for table, place in sorted(unused):
        raise CatalogError(f"{table} {place + 1} fits no cell", "is a value misspelt? Patterns are as in *.pth")
    return list(found.values())


def _fitting(sweep: SweepFile, table: str, values: dict[str, str | None]) -> set[tuple[str, int]]:
    """Returns which tables of a kind a cell has the values of."""
    return {(table, place) for place, item in enumerate(getattr(sweep, table)) if item.fits(values)}


def _combinations(sweep: SweepFile, folder: Path) -> Iterator[tuple[ModelEntry, dict[str, str | None]]]:
    """Yields each model's entry with the values of a cell; raises CatalogError for too many."""
    matrix, number = sweep.matrix, 0
    for item in matrix.models:
        entry = ModelEntry(model=item) if isinstance(item, str) else item
        patterns = matrix.checkpoints if entry.checkpoints is None else entry.checkpoints
        axes = (_find(patterns, folder), matrix.targets, matrix.precisions, matrix.sizes, matrix.devices)
        for chosen in product(*(axis or (None,) for axis in axes)):
            number += 1
            if number > MOST_CELLS:
                raise CatalogError(f"the matrix has more than {MOST_CELLS} cells", "make two sweeps of it")
            checkpoint, target, precision, size, device = chosen
            yield entry, {"model": entry.model, "checkpoint": checkpoint, "target": target, "precision": precision,
                          "size": size, "device": device}  # fmt: skip


def _find(patterns: tuple[str, ...], folder: Path) -> list[str]:
    """Returns the files that fit patterns, each once, in order; raises CatalogError where one fits nothing."""
    found: dict[str, None] = {}
    for pattern in patterns:
        there = glob.iglob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute ones
        names = islice(there, MOST_CELLS + 1)
        fitting = sorted(name.replace(os.sep, "/") for name in names)
        if not fitting:
            raise CatalogError(f"no checkpoint fits {pattern!r}", f"patterns are relative to {folder or Path()}")
        found.update(dict.fromkeys(fitting))
    return list(found)


def _cell(sweep: SweepFile, entry: ModelEntry, values: dict[str, str | None], folder: Path) -> PlannedCell:
    adjustments = [item for item in sweep.adjust if item.fits(values)]
    options = {**sweep.options, **entry.options}
    limits = {name: getattr(sweep.limits, name) for name in sweep.limits.model_fields_set}
    needs = dict(sweep.needs)
    for item in adjustments:
        options.update(item.options)
        limits.update({name: getattr(item.limits, name) for name in item.limits.model_fields_set})
        needs.update(item.needs)
    name = " ".join(value for value in values.values() if value)
    if taken := [key for key in options if key in (*AXES, "name", "limits")]:
        key = taken[0]
        raise CatalogError(
            f"options: {key} is no option", f"it is matrix.{AXES[key]}" if key in AXES else f"see {PAGE}"
        )
    asked = {
        **options,
        "name": name,
        "model": values["model"],
        "to": values["target"],
        "checkpoint": values["checkpoint"],
        "precision": values["precision"],
        "input_size": values["size"],
    }
    try:
        check = Check.model_validate({**{key: value for key, value in asked.items() if value is not None},
                                      "limits": limits})  # fmt: skip
        _look_up(check, values["device"])
    except ValidationError as error:
        raise CatalogError(
            f"{name}: {wrong_values(error, Check)[0]}", f"see {PAGE}; [[exclude]] leaves cells out"
        ) from error
    except ChoiceError as error:
        hint = f"{_keys(error.hint)}; " if error.hint else ""
        raise CatalogError(f"{name}: {_keys(error.message)}", f"{hint}a table [[exclude]] leaves cells out") from error
    latency = sweep.latency or (LatencyRule() if values["device"] else None)
    check = beside(check, folder)
    _look_for_code(check, folder)
    _look_for_images(check)
    return PlannedCell(name, values, check, latency, _needs(check, values["device"], latency) | needs)


def _keys(text: str) -> str:
    """Returns a message that speaks of the command line's options, with the file's keys in place of them."""

    def key(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        return f"matrix.{AXES[name]}" if name in AXES else f"options.{name}"

    return OPTION.sub(key, text)


def _look_for_code(check: Check, folder: Path) -> None:
    """Raises CatalogError where the file that a model is built by is not there."""
    place = check.model.rpartition(":")[0]
    if place.endswith(".py") and not (folder / place).is_file():
        raise CatalogError(f"{check.title}: there is no file {place}", "paths are relative to the sweep's file")


def _look_for_images(check: Check) -> None:
    """Raises CatalogError where what accuracy is counted on is not there."""
    accuracy = check.limits.accuracy
    paths = (accuracy.images, accuracy.masks, accuracy.boxes) if accuracy else ()
    for path in paths:
        if path and not path.exists():
            raise CatalogError(f"{check.title}: there is no {path}", "paths are relative to the sweep's file")


def _look_up(check: Check, device: str | None) -> None:
    """Raises ChoiceError for a name that there is no card of, and for what does not run on the device."""
    own = catalog.is_own_code(check.model)
    check_typed(
        None if own else check.model,
        [check.to],
        task=check.task,
        size=check.input_size,
        recipe=check.recipe,
        precision=check.precision,
        versions={"--opset": check.opset, "--min-ios": check.min_ios},
    )
    if check.precision == "int8" and not check.calibrate:
        raise ChoiceError(NO_IMAGES, "options = { calibrate = 'DIR' }")
    if device:
        profile = catalog.device(device)
        runs = ON_ANDROID if profile.kind == "android" else profile.targets
        if profile.kind != HOST and check.to not in runs:
            raise ChoiceError(f"{device} does not run to = {check.to!r}", f"it runs {', '.join(runs)}")


def _needs(check: Check, device: str | None, latency: LatencyRule | None) -> dict[str, float]:
    """Returns what a worker must have for what is measured."""
    kinds: set[str] = {catalog.device(device or HOST).kind} if latency else set()
    limits = check.limits
    if limits.latency:
        kinds.add(HOST)
    if limits.android:
        kinds.add("android")
    if limits.neural_engine and limits.neural_engine.device:
        kinds.add("iphone")
    return {RESOURCES[kind]: 1.0 for kind in sorted(kinds)}
