"""From a model and a default recipe to the fastest recipe that was found, with its evidence."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.formats import format_of, tool_versions
from mobilevit_deploy.catalog.recipe import Recipe
from mobilevit_deploy.catalog.tuning import Evidence
from mobilevit_deploy.errors import MeasurementError, MvdError
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import load_model
from mobilevit_deploy.measurement.comparison.ratio import Ratio
from mobilevit_deploy.measurement.tuning.precisions import allowed_precisions
from mobilevit_deploy.measurement.tuning.recipe_file import recipe_text
from mobilevit_deploy.measurement.tuning.search import FIRST_S, Budget, Search, Verdict
from mobilevit_deploy.measurement.tuning.session import helpful_options
from mobilevit_deploy.measurement.tuning.space import DEFAULT, Candidate, Change
from mobilevit_deploy.measurement.tuning.timing import Here, Place
from mobilevit_deploy.measurement.tuning.trials import Made, Role, Trials
from mobilevit_deploy.measurement.tuning.workshop import Exports
from mobilevit_deploy.pipeline.conversion import artifact_stem
from mobilevit_deploy.pipeline.plan import plan_target
from mobilevit_deploy.pipeline.prepare import prepare
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.system.publish import publish, staging
from mobilevit_deploy.system.version import __version__

Progress = Callable[[str], None]

BUDGET_S = 600.0


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a search: ``best`` says how far it came, and ``trials`` is the file from which it goes on."""

    def __init__(self, best: str, trials: Path) -> None:
        super().__init__(best)
        self.best, self.trials = best, trials


@dataclass(frozen=True)
class TuneRequest:
    """What to search for.

    Attributes:
        export: of the default file: the model, one target, the user's images, the folder.
        place: that files are timed on.
        precisions: that are allowed; none for the default one, or with ``max_loss`` for all that the recipe writes.
        max_loss: points of accuracy that a file may lose on the user's images; None for any number.
        budget_s: seconds after which nothing new is begun.
        seed: of the order in which candidates are tried.
    """

    export: ExportRequest
    place: Place
    precisions: tuple[str, ...] = ()
    max_loss: float | None = None
    budget_s: float = BUDGET_S
    seed: int = 0


@dataclass(frozen=True)
class Tried:
    """One candidate: what became of its file, and its times over the default's; None where it was not timed."""

    made: Made
    ratio: Ratio | None


@dataclass(frozen=True)
class TuneReport:
    """What a search found.

    Attributes:
        request: that was asked.
        default: the file of the default recipe.
        tried: every candidate, in the order in which they were made.
        verdict: the end of the search.
        evidence: what stands in the recipe.
        recipe: the file that ``mvd export --recipe`` takes.
        artifact: the recipe's file.
        trials: every trial, a line each.
        seconds: that it took.
        warnings: for the user.
    """

    request: TuneRequest
    default: Made
    tried: tuple[Tried, ...]
    verdict: Verdict
    evidence: Evidence
    recipe: Path
    artifact: Path
    trials: Path
    seconds: float
    warnings: tuple[str, ...]


def tune_model(
    request: TuneRequest, progress: Progress = lambda _stage: None, clock: Callable[[], float] = time.monotonic
) -> TuneReport:
    """Searches, and writes the recipe and its file; the default recipe where nothing is faster beyond its interval.

    Args:
        request: what to search for.
        progress: called with a line of text when a stage begins.
        clock: in seconds.

    Raises:
        UsageError: options that do not go together.
        MvdError: the default recipe's file cannot be made or timed, or the trials in the folder are of another search.
        Interrupted: by Ctrl-C, once there are trials.
    """
    budget = Budget(request.budget_s, clock)
    export, target = request.export, request.export.targets[0]
    recipe = catalog.recipe(export.recipe or target)
    images, calibrated = export.images is not None, export.calibrate is not None
    precisions = allowed_precisions(recipe, request.precisions, request.max_loss, images=images, calibrated=calibrated)
    base = precisions[0]
    asked = replace(export, precision=base, calibrate=export.calibrate if base == "int8" else None)
    for item in asked.target_requests():
        plan_target(item)  # what cannot be is refused before anything is loaded
    progress(f"loading {export.model.name}, and looking which rewrites find a place in it")
    model = load_model(export.model_request())
    stem = f"{artifact_stem(model, base)}.{target}"
    with tempfile.TemporaryDirectory(prefix="mvd-tune-") as work:
        exports = Exports(export, recipe, f"{stem}.tuned", base, prepare(model), Path(work), request.max_loss)
        progress("exporting by the default recipe")
        begin = clock()
        default, path = exports.make(DEFAULT)
        took = clock() - begin
        _check_accuracy(request, default)
        export.folder.mkdir(parents=True, exist_ok=True)
        trials = Trials(export.folder / f"{stem}.trials.jsonl", _identity(request, recipe, default))
        if trials.continued:
            progress(f"going on with {trials.path}")
        exports.remember(trials.all_made())
        search = Search(trials, exports, request.place.measure, budget, request.seed, progress)
        search.begin(default, path, took)
        try:
            verdict = search.run([Candidate(frozenset([Change("precision", name)])) for name in precisions[1:]])
            session, doubts = _session(request, recipe, search, verdict, budget, progress)
        except KeyboardInterrupt as error:
            raise Interrupted(search.standing(), trials.path) from error
        winner = verdict.fastest if verdict.faster and verdict.fastest else DEFAULT
        evidence = _evidence(request, trials, verdict, session, model.name)
        tuned = exports.recipe(winner).model_copy(update={"tuned": evidence})
        file = Path(work) / f"{stem}.tuned.toml"
        file.write_text(recipe_text(tuned, _comments(evidence, request, verdict)), encoding="utf-8")
        progress("writing the recipe and its file")
        precision = winner.precision(base)
        name = f"{artifact_stem(model, precision)}.tuned{format_of(target).suffix}"
        timed = None if session else trials.made(winner)  # with what it notes of a session the file is another
        artifact, warnings = _publish(exports.request_of(winner, file), file, name, timed)
    tried = [Tried(item, trials.ratio(item.changes)) for item in trials.all_made() if item.changes]
    return TuneReport(
        request=request,
        default=default,
        tried=tuple(tried),
        verdict=verdict,
        evidence=evidence,
        recipe=export.folder / file.name,
        artifact=artifact,
        trials=trials.path,
        seconds=request.budget_s - budget.left(),
        warnings=(*request.place.warnings, *doubts, *warnings),
    )


def _check_accuracy(request: TuneRequest, default: Made) -> None:
    if request.max_loss is not None and default.points_lost is None:
        raise MvdError(
            f"{request.export.images} says nothing of accuracy: the images have no labels, or this machine does not "
            "run the file",
            "give images in folders by their class, or a .npz with labels",
        )


def _identity(request: TuneRequest, recipe: Recipe, default: Made) -> dict[str, Any]:
    """Returns what a search is of: its trials are continued by no other one."""
    export, place = request.export, request.place
    return {
        "model": export.model.name,
        "target": export.targets[0],
        "recipe": recipe.name,
        "default_sha256": default.sha256,
        "machine": place.machine,
        "backend": place.backend,
        "threads": place.threads,
        "images": str(export.images) if export.images else None,
        "largest_count": export.largest_count,
        "calibrate": str(export.calibrate) if export.calibrate else None,
        "precisions": ", ".join(request.precisions),
        "max_loss": None if request.max_loss is None else f"{request.max_loss:g}",
        "seed": request.seed,
        "mvd": __version__,
    }


def _session(
    request: TuneRequest, recipe: Recipe, search: Search, verdict: Verdict, budget: Budget, progress: Progress
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the entries of the runtime's session that make the winner faster, and warnings."""
    place, options = request.place, recipe.tuning.session if recipe.tuning else ()
    needed = FIRST_S * (1 + len(options))
    if not options or not isinstance(place, Here) or budget.left() < needed:
        return (), ()
    path = search.file(verdict.fastest if verdict.faster and verdict.fastest else DEFAULT)
    if path is None or budget.left() < needed:  # it may have been made once more
        return (), ()
    try:
        return helpful_options(place, path, options, budget.left(), progress), ()
    except MeasurementError as error:  # what the search has found holds without them
        return (), (f"entries of the runtime's session were not timed: {error.message}",)


def _evidence(request: TuneRequest, trials: Trials, verdict: Verdict, session: tuple[str, ...], model: str) -> Evidence:
    place, fastest = request.place, verdict.fastest
    role: Role = "confirm" if verdict.confirmed else "search"
    changes = fastest.names if fastest else ()
    default_ms, own_ms = trials.groups(changes, role)
    made, default = trials.made(fastest or DEFAULT), trials.made(DEFAULT)
    assert made is not None
    assert default is not None
    return Evidence(
        result="tuned" if verdict.faster else "default",
        changes=changes,
        model=model,
        machine=place.machine,
        features=place.features,
        backend=place.backend,
        threads=place.threads,
        ratio=verdict.ratio.value if verdict.ratio else None,
        ratio_ci95=verdict.ratio.ci95 if verdict.ratio else None,
        groups=len(own_ms),
        p50_ms=_median(own_ms),
        default_p50_ms=_median(default_ms),
        bytes=made.bytes,
        default_bytes=default.bytes,
        points_lost=made.points_lost,
        images=made.images,
        session=session,
        seed=request.seed,
        date=datetime.now(UTC).date().isoformat(),
        versions={name: version for name, version in _versions(request).items() if version},
    )


def _median(groups: Sequence[Sequence[float]]) -> float | None:
    return float(np.median(np.concatenate(groups))) if groups else None


def _versions(request: TuneRequest) -> dict[str, str | None]:
    known, every = format_of(request.export.targets[0]), tool_versions()
    return {"mvd": __version__, "torch": every["torch"], **{name: every[name] for name in known.packages}}


def _comments(evidence: Evidence, request: TuneRequest, verdict: Verdict) -> list[str]:
    """Returns what stands above a recipe, for who opens the file."""
    target = request.export.targets[0]
    if evidence.result == "tuned":
        first = f"Found by mvd tune to be faster than the recipe {request.export.recipe or target}: "
        first += f"{', '.join(evidence.changes)}."
    else:
        first = f"mvd tune: {verdict.conclusion()}. This is the recipe {request.export.recipe or target}."
    return [first, "What was measured is in [tuned], at the end, and holds for that machine and those threads."]


def _publish(request: ExportRequest, file: Path, name: str, made: Made | None) -> tuple[Path, tuple[str, ...]]:
    """Writes the recipe and what it exports; returns the artifact, and warnings."""
    (report,) = export_model(replace(request, file_name=name))
    with staging(request.folder) as work:
        (work / file.name).write_bytes(file.read_bytes())
        publish(work, request.folder)
    warnings = report.warnings
    if made and made.sha256 != report.artifact.sha256:
        warnings = (*warnings, f"{name} is not the file that was timed: the model's code makes another one each time")
    return report.artifact.path, warnings
