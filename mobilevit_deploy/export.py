"""The main job: load, capture, rewrite, convert, verify, publish."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mobilevit_deploy import __version__, catalog, samples
from mobilevit_deploy.artifact import Artifact, ConversionRequest
from mobilevit_deploy.capture import Captured, TensorSpec, capture, recapture
from mobilevit_deploy.catalog import Precision, Recipe
from mobilevit_deploy.environment import tool_versions
from mobilevit_deploy.errors import CheckFailedError, UsageError
from mobilevit_deploy.graph import Graph
from mobilevit_deploy.load import LoadedModel, ModelRequest, WeightsOrigin, load_model
from mobilevit_deploy.parity import SAMPLES, ParityReport, compare
from mobilevit_deploy.publish import publish, staging
from mobilevit_deploy.report.json import write_report
from mobilevit_deploy.rewrites import chosen_rewrites
from mobilevit_deploy.rewriting import RewriteResult, rewrite_graph
from mobilevit_deploy.runners import runners_for
from mobilevit_deploy.runners.torch import TorchRunner
from mobilevit_deploy.targets import target as find_target

DEFAULT_FOLDER = Path("artifacts")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ExportRequest:
    """What to export; ``None`` leaves the choice to the recipe.

    ``recipe`` names one recipe for all targets; without it each target takes the recipe of its own name.
    """

    model: ModelRequest
    targets: tuple[str, ...]
    recipe: str | None = None
    precision: str | None = None
    opset: int | None = None
    min_ios: int | None = None
    rewrite: bool = True
    folder: Path = DEFAULT_FOLDER


@dataclass(frozen=True)
class ExportReport:
    """Everything that is known about one exported artifact; the JSON report has the same content."""

    model: str
    task: str
    reconstruction: bool
    weights: WeightsOrigin
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    artifact: Artifact
    recipe: str
    precision: Precision
    version: Mapping[str, int]
    ops_before: Mapping[str, int]
    ops_rewritten: Mapping[str, int]
    rewrites: tuple[RewriteResult, ...]
    parity: ParityReport
    seconds: Mapping[str, float]
    tool_versions: Mapping[str, str | None]
    warnings: tuple[str, ...]


class ParityFailedError(CheckFailedError):
    """An artifact that does not compute what PyTorch computed; nothing was published.

    ``reports`` holds every target's report, those that passed too.
    """

    def __init__(self, reports: Sequence[ExportReport]) -> None:
        failed = [report for report in reports if report.parity.status == "failed"]
        super().__init__(
            "\n".join(f"{report.artifact.target}: {report.parity.reason}" for report in failed),
            "nothing was written; --no-rewrite tells whether a rewrite is the cause",
        )
        self.reports = tuple(reports)


@dataclass(frozen=True)
class _Plan:
    """One target of a request, with every choice made."""

    recipe: Recipe
    precision: Precision
    version: int


class _Clock:
    """Tells progress which stage begins, and adds up what each takes, in seconds."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, detail: str) -> Iterator[None]:
        self._progress(detail)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 3)


def export_model(request: ExportRequest, progress: Progress = lambda _stage: None) -> list[ExportReport]:
    """Exports one model to one or more targets, verifies what was written, and publishes all of it or nothing.

    Args:
        request: what to export.
        progress: called with a line of text when a stage begins.

    Raises:
        MvdError: any of the tree in ``errors``; ParityFailedError when an artifact computes something else.
    """
    plans = [_plan(request, name) for name in dict.fromkeys(request.targets)]
    with staging(request.folder) as work:
        clock = _Clock(progress)
        with clock.stage("load", f"loading {request.model.name}"):
            model = load_model(request.model)
        with clock.stage("capture", "capturing the graph with torch.export"):
            images = _samples(model)
            example = torch.from_numpy(images[: model.input_shape[0]])
            captured = capture(model.module, example, model.task)
        reports = []
        for plan in plans:
            own_clock = _Clock(progress)
            own_clock.seconds |= clock.seconds
            reports.append(_export_one(request, plan, model, captured, images, work, own_clock))
        if any(report.parity.status == "failed" for report in reports):
            raise ParityFailedError(reports)
        progress(f"publishing into {request.folder}")
        reports = [_with_final_path(report, request.folder) for report in reports]
        for report in reports:
            write_report(report, work)
        publish(work, request.folder)
    return reports


def _plan(request: ExportRequest, name: str) -> _Plan:
    target = find_target(name)
    recipe = catalog.recipe(request.recipe or name)
    if recipe.target != name:
        raise UsageError(f"recipe {recipe.name} is for {recipe.target}, not for {name}", f"give --to {recipe.target}")
    given = {"opset": request.opset, "iOS": request.min_ios}[target.VERSION_NAME]
    version = recipe.version.choose(given, target.VERSION_NAME)
    chosen_rewrites(recipe)  # a recipe with an unknown rewrite is refused before anything runs
    return _Plan(recipe, recipe.choose_precision(request.precision), version)


def _samples(model: LoadedModel) -> samples.Images:
    """Returns the structured images, at least ``SAMPLES``, a multiple of the batch."""
    batch, channels, height, width = model.input_shape
    count = -(-SAMPLES // batch) * batch
    preparation = model.preprocessing
    mean, std = (preparation.mean, preparation.std) if preparation else (samples.IMAGENET_MEAN, samples.IMAGENET_STD)
    return samples.make_samples(count, channels, height, width, mean, std)


def _export_one(
    request: ExportRequest,
    plan: _Plan,
    model: LoadedModel,
    captured: Captured,
    images: samples.Images,
    work: Path,
    clock: _Clock,
) -> ExportReport:
    recipe = plan.recipe
    example = torch.from_numpy(images[: model.input_shape[0]])
    with clock.stage("rewrite", f"{recipe.target}: rewriting the graph and proving each rewrite"):
        graph, results, warnings = _rewrite(request, recipe, captured, example)
    with clock.stage("convert", f"{recipe.target}: converting"):
        artifact = find_target(recipe.target).convert(
            ConversionRequest(
                program=recapture(graph, example),
                sample=example,
                input=captured.input,
                outputs=captured.outputs,
                precision=plan.precision,
                version=plan.version,
                metadata=_metadata(model, plan, results),
                path=work / _file_name(model, plan),
            )
        )
    with clock.stage("verify", f"{recipe.target}: comparing {artifact.path.name} with PyTorch"):
        parity = compare(
            TorchRunner(model.module),
            runners_for(recipe.target, artifact.path),
            images,
            model.input_shape[0],
            [output.name for output in captured.outputs],
            plan.precision,
            recipe.tolerances[plan.precision],
        )
    return ExportReport(
        model=model.name,
        task=model.task,
        reconstruction=bool(model.card and model.card.family.reconstruction),
        weights=model.weights,
        input=captured.input,
        outputs=captured.outputs,
        artifact=artifact,
        recipe=recipe.name,
        precision=plan.precision,
        version={find_target(recipe.target).VERSION_NAME: plan.version},
        ops_before=captured.graph.histogram(),
        ops_rewritten=graph.histogram(),
        rewrites=results,
        parity=parity,
        seconds=clock.seconds,
        tool_versions=tool_versions(),
        warnings=(*warnings, *artifact.warnings),
    )


def _rewrite(
    request: ExportRequest, recipe: Recipe, captured: Captured, example: Tensor
) -> tuple[Graph, tuple[RewriteResult, ...], tuple[str, ...]]:
    if not request.rewrite:
        return captured.graph, (), ()
    try:
        rewritten = rewrite_graph(captured.graph, chosen_rewrites(recipe), example)
    except (RuntimeError, NotImplementedError, TypeError) as error:  # what ATen raises for a dtype that an op lacks
        reason = str(error).strip().splitlines()[0]
        return captured.graph, (), (f"not rewritten: the graph does not run in float64, so no proof: {reason}",)
    unproved = [
        f"{result.name} was taken back: {refused.reason}"
        for result in rewritten.results
        for refused in result.refused
        if refused.at == "whole graph"
    ]
    return rewritten.graph, rewritten.results, tuple(unproved)


def _file_name(model: LoadedModel, plan: _Plan) -> str:
    _, _, height, width = model.input_shape
    untrained = "" if model.weights.trained else ".untrained"
    suffix = find_target(plan.recipe.target).SUFFIX
    return f"{model.name}-{height}x{width}-{plan.precision}{untrained}{suffix}"


def _with_final_path(report: ExportReport, folder: Path) -> ExportReport:
    return replace(report, artifact=replace(report.artifact, path=folder / report.artifact.path.name))


def _metadata(model: LoadedModel, plan: _Plan, results: Sequence[RewriteResult]) -> dict[str, str]:
    """Returns what the artifact says of itself, as text; no path of this machine is in it."""
    weights = model.weights
    entries = {
        "mvd.version": __version__,
        "mvd.model": model.name,
        "mvd.task": model.task,
        "mvd.trained": "true" if weights.trained else "false",
        "mvd.weights": Path(weights.path).name if weights.path else "random, seeded",
        "mvd.weights_sha256": weights.sha256 or "",
        "mvd.weights_key": weights.key or "",
        "mvd.recipe": plan.recipe.name,
        "mvd.precision": plan.precision,
        "mvd.rewrites": json.dumps({result.name: len(result.applied) for result in results if result.applied}),
        "mvd.tool_versions": json.dumps(tool_versions()),
        "mvd.description": _description(model),
    }
    if model.card:
        family = model.card.family
        entries["mvd.preprocessing"] = json.dumps(
            {"layout": "NCHW, RGB, values in [0, 1], then (value - mean) / std", **family.preprocessing.model_dump()}
        )
        entries["mvd.source"] = f"{family.title}; {family.paper}"
        entries["mvd.reconstruction"] = "true" if family.reconstruction else "false"
    return {key: value for key, value in entries.items() if value}


def _description(model: LoadedModel) -> str:
    state = "" if model.weights.trained else ", UNTRAINED: random weights"
    kind = " (a reconstruction from the paper)" if model.card and model.card.family.reconstruction else ""
    return f"{model.name}{kind}, {model.task}{state}; exported by mvd {__version__}"
