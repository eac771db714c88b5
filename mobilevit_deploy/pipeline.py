"""The steps from a model to an artifact that exporting and inspecting share."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mobilevit_deploy import __version__, catalog, samples
from mobilevit_deploy.app_options import (
    AppInterface,
    AppOptions,
    Compression,
    ImageInput,
    check_labels,
    choose_image_input,
    find_modules,
    read_labels,
)
from mobilevit_deploy.artifact import Artifact, ConversionRequest
from mobilevit_deploy.borders import append_softmax, normalize_pixels
from mobilevit_deploy.capture import Captured, TensorSpec, capture, recapture
from mobilevit_deploy.catalog import Precision, Recipe
from mobilevit_deploy.compression import Floor, check_installed, choose_compression
from mobilevit_deploy.environment import tool_versions
from mobilevit_deploy.errors import ConversionError, UsageError
from mobilevit_deploy.graph import Graph
from mobilevit_deploy.load import LoadedModel
from mobilevit_deploy.parity import SAMPLES
from mobilevit_deploy.rewrites import chosen_rewrites
from mobilevit_deploy.rewriting import RewriteResult, rewrite_graph
from mobilevit_deploy.targets import target as find_target

PROBABILITIES = "probabilities"  # the output in place of the logits when the classes have names


@dataclass(frozen=True)
class TargetRequest:
    """What to make of a model for one target; ``None`` leaves the choice to the recipe.

    ``recipe`` is by default the one that has the target's name; ``version`` the opset or the iOS floor.
    """

    target: str
    recipe: str | None = None
    precision: str | None = None
    version: int | None = None
    rewrite: bool = True
    app: AppOptions = field(default_factory=AppOptions)


@dataclass(frozen=True)
class Plan:
    """A target request with every choice made."""

    recipe: Recipe
    precision: Precision
    version: int
    rewrite: bool
    app: AppOptions
    labels: tuple[str, ...] | None
    compression: Compression | None


@dataclass(frozen=True)
class Prepared:
    """A loaded model, its captured graph, and structured images (N, C, H, W) in a multiple of its batch."""

    model: LoadedModel
    captured: Captured
    images: samples.Images

    @property
    def example(self) -> Tensor:
        """Returns one batch, (B, C, H, W)."""
        return torch.from_numpy(self.images[: self.model.input_shape[0]])


@dataclass(frozen=True)
class RewrittenForTarget:
    """The graph that a target is given, what each rewrite did, and warnings for the user."""

    graph: Graph
    results: tuple[RewriteResult, ...] = ()
    warnings: tuple[str, ...] = ()


def plan_target(request: TargetRequest) -> Plan:
    """Makes every choice; raises CatalogError or UsageError for one that cannot be."""
    target = find_target(request.target)
    recipe = catalog.recipe(request.recipe or request.target)
    if recipe.target != request.target:
        raise UsageError(
            f"recipe {recipe.name} is for {recipe.target}, not for {request.target}", f"give --to {recipe.target}"
        )
    chosen_rewrites(recipe)  # a recipe with an unknown rewrite is refused before anything runs
    version = recipe.version.choose(request.version, target.VERSION_NAME)
    precision, app = recipe.choose_precision(request.precision), request.app
    app.check()
    if app.keep_fp32 and precision == "fp32":
        raise UsageError("--keep-fp32 with --precision fp32, where everything is float32", "leave one of them out")
    floor = Floor(version, target.VERSION_NAME, target.VERSION_OPTION)
    compression = choose_compression(recipe, precision, app.prune, floor)
    if compression:
        check_installed(compression)
    labels = read_labels(app.labels) if app.labels else None
    return Plan(recipe, precision, version, request.rewrite, app, labels, compression)


def prepare(model: LoadedModel) -> Prepared:
    """Makes the images and captures the graph; raises CaptureError."""
    batch, channels, height, width = model.input_shape
    count = -(-SAMPLES // batch) * batch
    preparation = model.preprocessing
    mean, std = (preparation.mean, preparation.std) if preparation else (samples.IMAGENET_MEAN, samples.IMAGENET_STD)
    images = samples.make_samples(count, channels, height, width, mean, std)
    return Prepared(model, capture(model.module, torch.from_numpy(images[:batch]), model.task), images)


def rewrite_for_target(plan: Plan, prepared: Prepared) -> RewrittenForTarget:
    """Applies the recipe's rewrites; without a proof the graph stays as captured, with a warning."""
    original = prepared.captured.graph
    if not plan.rewrite:
        return RewrittenForTarget(original)
    try:
        rewritten = rewrite_graph(original, chosen_rewrites(plan.recipe), prepared.example)
    except (RuntimeError, NotImplementedError, TypeError) as error:  # what ATen raises for a dtype that an op lacks
        reason = str(error).strip().splitlines()[0]
        warning = f"not rewritten: the graph does not run in float64, so no proof: {reason}"
        return RewrittenForTarget(original, warnings=(warning,))
    unproved = [
        f"{result.name} was taken back: {refused.reason}"
        for result in rewritten.results
        for refused in result.refused
        if refused.at == "whole graph"
    ]
    return RewrittenForTarget(rewritten.graph, rewritten.results, tuple(unproved))


def check_app(plan: Plan, prepared: Prepared) -> None:
    """Raises UsageError for app options that this model cannot have; before anything is rewritten or converted."""
    _image_input(plan, prepared)
    if plan.labels and plan.app.labels:
        shapes = [output.shape for output in prepared.captured.outputs]
        check_labels(plan.labels, plan.app.labels, prepared.model.task, shapes)
    find_modules(prepared.captured.graph, plan.app.keep_fp32)


def _image_input(plan: Plan, prepared: Prepared) -> ImageInput | None:
    card = prepared.model.preprocessing
    mean, std = (card.mean, card.std) if card else (None, None)
    return choose_image_input(plan.app, prepared.model.input_shape, mean, std) if plan.app.image_input else None


def convert_for_target(plan: Plan, prepared: Prepared, rewritten: RewrittenForTarget, folder: Path) -> Artifact:
    """Writes the artifact into a folder under its final name; raises ConversionError."""
    target, graph, outputs = find_target(plan.recipe.target), rewritten.graph, prepared.captured.outputs
    app = AppInterface(_image_input(plan, prepared), plan.labels, find_modules(graph, plan.app.keep_fp32))
    if app.image:
        graph = normalize_pixels(graph, app.image.mean, app.image.std)
    if app.labels:
        graph = append_softmax(graph)
        outputs = (TensorSpec(PROBABILITIES, outputs[0].shape),)
    request = ConversionRequest(
        program=recapture(graph, prepared.example),
        sample=prepared.example,
        input=prepared.captured.input,
        outputs=outputs,
        precision=plan.precision,
        version=plan.version,
        metadata=_metadata(prepared.model, plan, rewritten.results, app),
        path=folder / f"{_stem(prepared.model, plan)}{target.SUFFIX}",
        app=app,
        compression=plan.compression,
    )
    try:
        return target.convert(request)
    except ConversionError as error:
        error.message = "\n".join([error.message, *rewritten.warnings])  # a graph not rewritten may be why
        raise


def _stem(model: LoadedModel, plan: Plan) -> str:
    _, _, height, width = model.input_shape
    return f"{model.name}-{height}x{width}-{plan.precision}{'' if model.weights.trained else '.untrained'}"


def _metadata(model: LoadedModel, plan: Plan, results: Sequence[RewriteResult], app: AppInterface) -> dict[str, str]:
    """Returns what the artifact says of itself, as text; no path of this machine is in it."""
    weights = model.weights
    entries = {
        "mvd.version": __version__,
        "mvd.model": model.name,
        "mvd.task": model.task,
        "mvd.trained": "true" if weights.trained else "false",
        "mvd.weights": Path(weights.path).name if weights.path else "no checkpoint given",
        "mvd.weights_sha256": weights.sha256 or "",
        "mvd.weights_key": weights.key or "",
        "mvd.recipe": plan.recipe.name,
        "mvd.precision": plan.precision,
        "mvd.rewrites": json.dumps({result.name: len(result.applied) for result in results if result.applied}),
        "mvd.tool_versions": json.dumps(tool_versions()),
        "mvd.description": _description(model),
    }
    if app.image:
        entries["mvd.image"] = json.dumps(
            {"normalisation": "in the graph: (value / 255 - mean) / std", **vars(app.image)}
        )
    if model.card:
        family = model.card.family
        entries["mvd.preprocessing"] = json.dumps(
            {"layout": "NCHW, RGB, values in [0, 1], then (value - mean) / std", **family.preprocessing.model_dump()}
        )
        entries["mvd.source"] = f"{family.title}; {family.paper}"
        entries["mvd.reconstruction"] = "true" if family.reconstruction else "false"
    return {key: value for key, value in entries.items() if value}


def _description(model: LoadedModel) -> str:
    state = "" if model.weights.trained else ", UNTRAINED: no checkpoint was given"
    kind = " (a reconstruction from the paper)" if model.card and model.card.family.reconstruction else ""
    return f"{model.name}{kind}, {model.task}{state}; exported by mvd {__version__}"
