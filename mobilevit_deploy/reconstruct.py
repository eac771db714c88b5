"""What an export gave its converter, made again from an artifact on disk and its model."""

from dataclasses import dataclass, replace
from pathlib import Path

from mobilevit_deploy.app_options import AppInterface, ImageInput
from mobilevit_deploy.artifact import ConversionRequest, FileDescription
from mobilevit_deploy.borders import append_softmax, normalize_pixels
from mobilevit_deploy.capture import recapture
from mobilevit_deploy.catalog import Recipe
from mobilevit_deploy.graph import Graph
from mobilevit_deploy.load import LoadedModel
from mobilevit_deploy.pipeline import Prepared, prepare, rewrite_captured
from mobilevit_deploy.provenance import Provenance
from mobilevit_deploy.targets import target as find_target


@dataclass(frozen=True)
class Reconstructed:
    """The captured model, and its graph as the converter was given it, with the app's borders."""

    prepared: Prepared
    graph: Graph


def reconstruct(noted: Provenance | None, file: FileDescription, recipe: Recipe, model: LoadedModel) -> Reconstructed:
    """Captures and rewrites a model as its export did; raises CaptureError."""
    prepared = prepare(model)
    rewrites = noted is None or noted.rewritten
    graph = rewrite_captured(recipe, prepared)[0] if rewrites else prepared.captured.graph
    if file.image and noted and noted.image:
        graph = normalize_pixels(graph, noted.image.mean, noted.image.std)
    if file.probabilities:
        graph = append_softmax(graph)
    return Reconstructed(prepared, graph)


def convert_in_float32(
    made: Reconstructed, noted: Provenance | None, file: FileDescription, recipe: Recipe, folder: Path
) -> Path:
    """Converts the graph again in float32 and returns the path; raises ConversionError.

    A classifier's probabilities are an array there and not a dictionary, which changes no value.
    """
    target, captured = find_target(file.target), made.prepared.captured
    image = noted.image if file.image and noted else None
    app = AppInterface(ImageInput(image.color, image.mean, image.std) if image else None)
    request = ConversionRequest(
        program=recapture(made.graph, made.prepared.example),
        sample=made.prepared.example,
        input=replace(captured.input, shape=file.entries[0].shape),
        outputs=tuple(replace(old, name=new.name) for old, new in zip(captured.outputs, file.outputs, strict=True)),
        precision="fp32",
        version=noted.target_version if noted and noted.target_version else recipe.version.default,
        metadata={},
        path=folder / f"float32{target.SUFFIX}",
        app=app,
    )
    return target.convert(request).path
