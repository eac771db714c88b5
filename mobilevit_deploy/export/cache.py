"""Finished exports, kept so that the same one need not be made again.

An export is the same when everything that it is computed from is: the request, the content of every file that it
names, the model's card, the recipes, the versions of all tools, and this package's own source. What code of the user's
or of another package takes part in is not kept, for that code may import anything; of a library that has a source here
its version says what it is, but not what it downloads.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.formats import tool_versions
from mobilevit_deploy.catalog.recipe import Recipe
from mobilevit_deploy.errors import OutputError
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.loading.checkpoint_files import find_files
from mobilevit_deploy.loading.source import Source, find_source, source_packages
from mobilevit_deploy.loading.weights_origin import WeightsOrigin
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.system import plugins
from mobilevit_deploy.system.cache_folder import cache_folder
from mobilevit_deploy.system.environment import installed_version
from mobilevit_deploy.system.hashing import measure_files, sha256_of
from mobilevit_deploy.system.publish import staging
from mobilevit_deploy.system.vanishing import still_there

REPORTS = "reports.json"
LARGEST_BYTES = 2 * 2**30  # of all kept exports together: some dozens; the ones used longest ago go first


def default_folder() -> Path:
    """Returns where exports are kept on this machine."""
    return cache_folder() / "exports"


def key_of(request: ExportRequest) -> str | None:
    """Returns what names an export by all that it is computed from; None where that cannot be told.

    So it is for code of the user's or of other packages, and for weights that a library downloads.

    Raises:
        MvdError: there is no such model, recipe or checkpoint.
    """
    name = request.model.name
    source = find_source(name) if catalog.is_own_code(name) else None
    if catalog.is_own_code(name) and (source is None or source.package is None or request.model.pretrained):
        return None
    named = {item.name for recipe in _recipes(request) for item in recipe.rewrites}
    if (
        named & plugins.plugins(plugins.REWRITES).keys()
        or set(request.targets) & plugins.plugins(plugins.TARGETS).keys()
    ):
        return None
    return content_key(request)


def content_key(
    request: ExportRequest,
    more: Mapping[str, Any] | None = None,
    hash_of: Callable[[Path], str] | None = None,
    versions: Mapping[str, str | None] | None = None,
) -> str:
    """Returns a hash of what an export is computed from, as far as that is known, see ``key_of``.

    Args:
        request: the export.
        more: what else belongs to it; paths count by their content.
        hash_of: returns the hash of a file or a folder; for a caller who has read some before.
        versions: of all tools, for a caller who knows them.

    Raises:
        MvdError: there is no such model, recipe or checkpoint.
    """
    name = request.model.name
    source = find_source(name) if catalog.is_own_code(name) else None
    no_part = ("folder", "file_name", "cache", "force", "jobs", "recipe")  # the recipe's content is told below
    asked: dict[str, Any] = {key: value for key, value in asdict(request).items() if key not in no_part}
    asked["model"]["head"].pop("declaration")  # it is told below
    if request.model.checkpoint:  # its files, for an index or a folder names others; a wrong one is refused unread
        asked["model"]["checkpoint"] = [request.model.checkpoint.name, *find_files(request.model.checkpoint)]
    head = request.model.head.rule_of(name, request.model.task)
    content = {
        "request": asked,
        "card": _card_of(source, name),
        "head": head.model_dump(mode="json") if head else None,
        "recipes": [recipe.model_dump(mode="json", exclude={"tuning", "tuned"}) for recipe in _recipes(request)],
        "session": [recipe.tuned.session for recipe in _recipes(request) if recipe.tuned],  # it is noted in the file
        "versions": dict(tool_versions() if versions is None else versions),
        "source": _source(),
        **({"more": more} if more else {}),
    }
    text = json.dumps(content, sort_keys=True, default=partial(_by_content, hash_of or _hash_of))
    return hashlib.sha256(text.encode()).hexdigest()


def _recipes(request: ExportRequest) -> list[Recipe]:
    return [catalog.recipe(item) for item in ([request.recipe] if request.recipe else request.targets)]


def _card_of(source: Source | None, name: str) -> Any:
    """Returns what a model is made from, where no code of the user's makes it."""
    if source:
        return _library_of(source, name)
    return None if catalog.is_own_code(name) else catalog.model(name).model_dump(mode="json")


def _library_of(source: Source, name: str) -> list[str | None]:
    """Returns what a library's model is made from: versions, also of libraries below it, and a folder's content."""
    path = Path(name.partition(":")[2])
    versions = [installed_version(package) for package in source_packages()]
    return [source.package, *versions, measure_files(path)[0] if path.is_dir() else None]


def find(folder: Path, key: str, work: Path, checkpoint: Path | None) -> "list[ExportReport] | None":
    """Copies a kept export into a working folder and returns its reports; None when there is none, or it is damaged.

    Args:
        folder: of kept exports.
        key: of the wanted one.
        work: an empty folder.
        checkpoint: where the weights are now; a kept report names the place where they were.
    """
    kept = folder / key
    try:
        reports = _adapter().validate_json((kept / REPORTS).read_bytes())
        for report in reports:
            _copy(kept / report.artifact.path.name, work)
            if measure_files(work / report.artifact.path.name)[0] != report.artifact.sha256:
                raise ValueError("changed since it was kept")
        kept.touch()  # used now: it goes last
    except (OSError, ValueError, ValidationError):
        shutil.rmtree(kept, ignore_errors=True)
        for item in work.iterdir():
            shutil.rmtree(item) if item.is_dir() else item.unlink()
        return None
    return [replace(report, cached=True, weights=_moved(report.weights, checkpoint)) for report in reports]


def _moved(weights: WeightsOrigin, checkpoint: Path | None) -> WeightsOrigin:
    return replace(weights, path=str(checkpoint)) if checkpoint else weights


def keep(folder: Path, key: str, reports: Sequence[ExportReport], work: Path) -> None:
    """Copies a finished export from its working folder; failing to is no failure of the export."""
    try:
        with staging(folder) as unfinished:
            entry = unfinished / key
            entry.mkdir()
            for report in reports:
                _copy(work / report.artifact.path.name, entry)
            (entry / REPORTS).write_bytes(_adapter().dump_json(list(reports)))
            shutil.rmtree(folder / key, ignore_errors=True)
            entry.rename(folder / key)
        _make_room(folder)
    except (OSError, OutputError):
        return


def _make_room(folder: Path) -> None:
    """Removes the exports used longest ago until the rest is small enough."""
    entries = sorted((item for item in folder.iterdir() if (item / REPORTS).exists()), key=_last_used, reverse=True)
    total = 0
    for entry in entries:
        total += sum(item.stat().st_size for item in entry.rglob("*") if item.is_file())
        if total > LARGEST_BYTES:
            shutil.rmtree(entry, ignore_errors=True)


def _last_used(entry: Path) -> float:
    return entry.stat().st_mtime


def _copy(item: Path, folder: Path) -> None:
    shutil.copytree(item, folder / item.name) if item.is_dir() else shutil.copy2(item, folder)


def _by_content(hash_of: Callable[[Path], str], value: Any) -> str:
    """Returns a path's name, which artifacts tell, and its content as a hash: another file is another export."""
    if not isinstance(value, Path):
        raise TypeError(f"no JSON for {type(value).__name__}")
    with still_there():
        return f"{value.name} {hash_of(value)}" if value.exists() else f"missing {value}"


def _hash_of(path: Path) -> str:
    return measure_files(path)[0]


@cache
def _source() -> str:
    """Returns the hash of this package's own code, which an editable installation may change at any time."""
    root = Path(__file__).parents[1]
    files = sorted(item for item in root.rglob("*.py"))
    return hashlib.sha256("".join(sha256_of(item) for item in files).encode()).hexdigest()


@cache
def _adapter() -> TypeAdapter[list[ExportReport]]:
    """Returns what writes and reads reports; infinite SNRs are kept as such."""
    return TypeAdapter(list[ExportReport], config=ConfigDict(ser_json_inf_nan="constants"))
