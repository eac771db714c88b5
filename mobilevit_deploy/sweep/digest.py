"""What names a cell by all that it is made from, so that one which exists is not made again.

It is the key of a kept export (``export/cache.py``), with the limits, with what is measured, and with code of the
user's: the model's file, and what that imports which lies beside it. Code that is installed counts by its version
where a library here is known, and otherwise not at all; nor do weights that a library downloads.
"""

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.formats import tool_versions
from mobilevit_deploy.checks.export_request import export_of
from mobilevit_deploy.errors import CatalogError, MvdError
from mobilevit_deploy.export.cache import content_key
from mobilevit_deploy.loading.source import find_source
from mobilevit_deploy.sweep.cells import PlannedCell
from mobilevit_deploy.system.hashing import measure_files


def digests_of(cells: Sequence[PlannedCell], folder: Path) -> dict[str, str]:
    """Returns a name by its content, 64 hexadecimal digits, for each cell by its id; what many share is read once.

    Args:
        cells: of the sweep.
        folder: that their code is looked for in.

    Raises:
        CatalogError: a cell's recipe or head is none, or its checkpoint cannot be read.
    """
    hash_of, versions = cache(lambda path: measure_files(path)[0]), tool_versions()
    found = {}
    for cell in cells:
        code = own_code(cell.check.model, folder)
        measured = {
            "limits": cell.check.limits.model_dump(),
            "latency": cell.latency.model_dump() if cell.latency else None,
            "device": cell.values["device"],
            "code": [[str(path), hash_of(folder / path)] for path in code],
        }
        try:
            found[cell.id] = content_key(export_of(cell.check, Path(), None), measured, hash_of, versions)
        except MvdError as error:
            raise CatalogError(f"{cell.id}: {error.message}", error.hint) from error
    return found


def own_code(reference: str, folder: Path) -> list[Path]:
    """Returns the files that a MODEL of the user's own is made by, as far as they lie in a folder, relative to it."""
    if not catalog.is_own_code(reference) or find_source(reference):
        return []
    place = reference.rpartition(":")[0]
    first = folder / (place if place.endswith(".py") else f"{place.replace('.', '/')}.py")
    seen: dict[Path, None] = {}
    waiting = [first if first.is_file() else first.with_suffix("") / "__init__.py"]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen[path] = None
        waiting += _imported(path, (path.parent, folder))
    return sorted(path.relative_to(folder) if path.is_relative_to(folder) else path for path in seen)


def _imported(path: Path, roots: tuple[Path, ...]) -> Iterator[Path]:
    """Yields where what a file imports would lie, in its package or below the roots."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError, RecursionError):  # for Python to say, when the file is run
        return
    for node in nodes:
        names, places = [], roots
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module or ''}.{alias.name}".strip(".") for alias in node.names)]
            if node.level:
                places = (path.parents[node.level - 1],) if node.level <= len(path.parents) else ()
        for place in places:
            for name in filter(None, names):
                parts = name.split(".")
                for depth in range(1, len(parts) + 1):
                    inner = place.joinpath(*parts[:depth])
                    yield from (inner.with_name(f"{inner.name}.py"), inner / "__init__.py")
