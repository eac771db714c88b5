"""What targets dislike of the user's own models of a sweep, as SARIF."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.checks.export_request import export_of
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.inspection import Inspection, inspect_model
from mobilevit_deploy.inspection.sarif import sarif_document
from mobilevit_deploy.loading.source import find_source
from mobilevit_deploy.sweep.cells import cells_of
from mobilevit_deploy.sweep.plan import read_sweep


def sarif_of_sweep(
    file: Path, progress: Callable[[str], None] = lambda _line: None
) -> tuple[dict[str, Any], list[str]]:
    """Inspects each of the user's own models once a target; returns the document, and why some could not be inspected.

    Args:
        file: of the sweep; names in the document are relative to the current folder, as those of a repository are.
        progress: is told each stage.

    Raises:
        CatalogError: the file says something that cannot be.
    """
    folder = file.parent.resolve()
    inspections: list[Inspection] = []
    problems = []
    seen = set()
    for cell in cells_of(read_sweep(file), folder):
        check = cell.check
        if not catalog.is_own_code(check.model) or find_source(check.model) or (check.model, check.to) in seen:
            continue
        seen.add((check.model, check.to))
        if check.model.partition(":")[0].endswith(".py"):
            check = check.model_copy(update={"model": str(folder / check.model)})
        try:
            inspections += inspect_model(export_of(check, Path(), None), progress)
        except MvdError as error:
            problems.append(f"{check.model} was not inspected for {check.to}: {error.message}")
    return sarif_document(inspections, Path.cwd()), problems
