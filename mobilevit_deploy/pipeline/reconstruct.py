"""What an export gave its converter, made again from an artifact on disk and its model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor
from torch.export import ExportedProgram

from mobilevit_deploy.catalog.recipe import Precision, Recipe
from mobilevit_deploy.graph.app_interface import append_decision, append_softmax, normalize_pixels, take_channels_last
from mobilevit_deploy.graph.capture import TensorSpec, recapture
from mobilevit_deploy.graph.sample import Sample
from mobilevit_deploy.loading.class_names import ClassNames
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.pipeline.origin import adds_softmax, takes_channels_last
from mobilevit_deploy.pipeline.prepare import Prepared, prepare
from mobilevit_deploy.pipeline.provenance import Provenance
from mobilevit_deploy.pipeline.rewriting import rewrite_captured
from mobilevit_deploy.targets.app_options import AppInterface, ImageInput
from mobilevit_deploy.targets.artifact import ConversionRequest, FileDescription
from mobilevit_deploy.targets.compression import Floor, check_installed, choose_compression
from mobilevit_deploy.targets.registry import target as find_target


@dataclass(frozen=True)
class Reconstructed:
    """The captured model, and the program that the converter was given, with the app's borders; an input of that."""

    prepared: Prepared
    program: ExportedProgram
    sample: Sample


def reconstruct(noted: Provenance | None, file: FileDescription, recipe: Recipe, model: LoadedModel) -> Reconstructed:
    """Captures and rewrites a model as its export did; raises CaptureError."""
    prepared = prepare(model)
    rewrites = noted is None or noted.rewritten
    graph = prepared.captured.graph
    if rewrites:
        graph = rewrite_captured(recipe, graph, prepared.example)[0].graph
    if file.image and noted and noted.image:
        graph = normalize_pixels(graph, noted.image.mean, noted.image.std)
    if adds_softmax(file, noted):
        graph = append_softmax(graph)
    sample = prepared.example
    if takes_channels_last(file, noted) and isinstance(sample, Tensor):
        graph, sample = take_channels_last(graph), sample.permute(0, 2, 3, 1).contiguous()
    decision = model.head.decision if model.head else None
    if decision and decision.behind_model:
        graph, _ = append_decision(graph, decision, *model.input_shape[2:])
    return Reconstructed(prepared, recapture(graph, sample), sample)


def _named(captured: Sequence[TensorSpec], file: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(replace(old, name=new.name) for old, new in zip(captured, file, strict=True))


def convert_again(
    made: Reconstructed,
    noted: Provenance | None,
    file: FileDescription,
    recipe: Recipe,
    path: Path,
    *,
    precision: Precision,
) -> Path:
    """Converts the graph again and returns the path.

    A classifier's probabilities are an array there and not a dictionary, which changes no value.

    Args:
        made: what the converter is given.
        noted: what the file says of its export; its compression is made again, too, at its own precision.
        file: whose names are kept.
        recipe: that it was exported by.
        path: where to write it.
        precision: of the conversion.

    Raises:
        ConversionError: the converter refused the graph.
    """
    captured = made.prepared.captured
    image = noted.image if file.image and noted else None
    default = recipe.version.default if recipe.version else None
    version = noted.target_version if noted and noted.target_version else default
    same = noted is not None and noted.precision == precision
    compression = None
    if noted and same:
        floor = Floor.of(file.target, version)
        compression = choose_compression(recipe, precision, noted.prune, floor)
        if compression:
            check_installed(compression)
    head = made.prepared.model.head
    app = AppInterface(
        ImageInput(image.color, image.mean, image.std) if image else None,
        keep_fp32=noted.keep_fp32 if noted and same else (),
        classes=head.classes if head else ClassNames(),
        decision=head.decision if head else None,
    )
    decided = app.decision is not None
    request = ConversionRequest(
        program=made.program,
        sample=made.sample,
        input=TensorSpec(app.input_name(captured.input.name), tuple(made.sample.shape))
        if isinstance(made.sample, Tensor)
        else captured.input,
        inputs=made.prepared.model.inputs,
        outputs=file.outputs if decided else _named(captured.outputs, file.outputs),
        precision=precision,
        version=version,
        metadata={},
        path=path,
        app=app,
        compression=compression,
    )
    return find_target(file.target).convert(request).path
