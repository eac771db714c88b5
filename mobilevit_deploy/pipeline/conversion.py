"""From a target's graph to its artifact: one shape, one graph for several, or a function for each."""

import tempfile
from pathlib import Path

from torch.export import ExportedProgram

from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.graph.capture import recapture
from mobilevit_deploy.graph.node_history import shared_histories
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.pipeline import provenance
from mobilevit_deploy.pipeline.image_sizes import OneSizeError, flexible_program
from mobilevit_deploy.pipeline.plan import Plan
from mobilevit_deploy.pipeline.prepare import (
    Prepared,
    ReadyForTarget,
    borders_of,
    choose_quantization,
    input_of,
    prepare,
    ready_for_target,
    resize_model,
    structured_images,
)
from mobilevit_deploy.runners.reference import TorchRunner
from mobilevit_deploy.targets.artifact import Artifact, ConversionRequest
from mobilevit_deploy.targets.registry import target as find_target

UNTRAINED = ".untrained"  # in the name of a file whose weights are random


def convert_for_target(
    plan: Plan, prepared: Prepared, ready: ReadyForTarget, folder: Path, intermediates: Path | None = None
) -> Artifact:
    """Writes the artifact into a folder under its final name, and what it is made from into another.

    Raises:
        ConversionError: the converter refused the graph.
    """
    form = "-".join(filter(None, (plan.precision, plan.app.runtime)))
    path = folder / f"{artifact_stem(prepared.model, form)}{format_of(plan.recipe.target).suffix}"
    try:
        return _convert_sizes(plan, prepared, ready, path, intermediates)
    except ConversionError as error:
        error.message = "\n".join([error.message, *ready.warnings])  # a graph not rewritten may be why
        raise


def _convert_sizes(
    plan: Plan, prepared: Prepared, ready: ReadyForTarget, path: Path, intermediates: Path | None
) -> Artifact:
    with shared_histories():
        if not plan.app.sizes:
            program = recapture(ready.graph, input_of(ready, prepared)[1])
            return _convert(plan, prepared, ready, program, path, intermediates)
        try:
            program = _flexible_program(plan, prepared, ready)
        except OneSizeError as error:
            return _convert_functions(plan, prepared, ready, path, intermediates, error)
        return _convert(plan, prepared, ready, program, path, intermediates, plan.app.sizes)


def _convert(
    plan: Plan,
    prepared: Prepared,
    ready: ReadyForTarget,
    program: ExportedProgram,
    path: Path,
    intermediates: Path | None,
    sizes: tuple[tuple[int, int], ...] = (),
) -> Artifact:
    spec, sample = input_of(ready, prepared)
    request = ConversionRequest(
        program=program,
        sample=sample,
        input=spec,
        inputs=prepared.model.inputs,
        outputs=ready.outputs,
        precision=plan.precision,
        version=plan.version,
        metadata=_metadata(plan, prepared, ready),
        path=path,
        app=ready.app,
        compression=plan.compression,
        quantization=choose_quantization(plan, prepared, ready),
        sizes=sizes,
        intermediates=intermediates,
    )
    return find_target(plan.recipe.target).convert(request)


def _metadata(plan: Plan, prepared: Prepared, ready: ReadyForTarget) -> dict[str, str]:
    return provenance.describe(
        prepared.model,
        plan.recipe,
        plan.version,
        plan.precision,
        ready.results,
        ready.app,
        plan.compression,
        choose_quantization(plan, prepared, ready),
        allow_precision_loss=plan.allow_precision_loss,
        preprocessing=prepared.preprocessing,
    )


def _flexible_program(plan: Plan, prepared: Prepared, ready: ReadyForTarget) -> ExportedProgram:
    """Captures one graph for all sizes, for the images as the artifact takes them; raises OneSizeError."""
    borders = borders_of(ready)
    batch = prepared.model.input_shape[0]
    references = []
    for size in plan.app.sizes:
        images = borders.fed(structured_images(resize_model(prepared.model, size))[:batch])
        references.append((images, borders.fed_reference(TorchRunner(prepared.model.module))))
    return flexible_program(ready.graph, borders.fed(prepared.images[:batch]), references)


def _convert_functions(
    plan: Plan, prepared: Prepared, ready: ReadyForTarget, path: Path, intermediates: Path | None, reason: OneSizeError
) -> Artifact:
    """Converts a graph for each size and makes them the functions of one artifact."""
    floor, known = plan.recipe.functions_minimum, format_of(plan.recipe.target)
    if floor is None or plan.version is None:
        raise ConversionError(
            f"--sizes: this model has no graph for several sizes: {reason.message}", "export each size by itself"
        ) from reason
    if plan.version < floor:
        raise ConversionError(
            f"--sizes: this model has no graph for several sizes: {reason.message}",
            f"give {known.version_option} {floor}, from which on each size may be a function of one package",
        ) from reason
    with tempfile.TemporaryDirectory(prefix="mvd-sizes-") as folder:
        artifacts: dict[str, Artifact] = {}
        for size in (prepared.model.input_shape[2:], *plan.app.sizes):
            default = not artifacts
            sized = prepared if default else prepare(resize_model(prepared.model, size))
            given = ready if default else ready_for_target(plan, sized)
            name = "size_{}x{}".format(*size)
            program = recapture(given.graph, sized.example)
            part = Path(folder) / f"{name}{known.suffix}"
            artifacts[name] = _convert(plan, sized, given, program, part, intermediates if default else None)
        return find_target(plan.recipe.target).combine(artifacts, _metadata(plan, prepared, ready), path, plan.version)


def artifact_stem(model: LoadedModel, form: str) -> str:
    """Returns the name of a model's artifact without its suffix, of a precision, and of what else it is made for."""
    _, _, height, width = model.input_shape
    return f"{model.name}-{height}x{width}-{form}{'' if model.weights.trained else UNTRAINED}"
