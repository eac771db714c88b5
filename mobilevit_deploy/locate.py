"""The first module whose output an artifact computes otherwise than PyTorch.

Converters name what an operation computes after the node of the exported program that it came from. So the program is
made again, as the export makes it, both sides run once on one image with every intermediate value looked at, and values
of one name and one shape are set beside each other.
"""

import numpy as np
import torch
from torch.fx import Node

from mobilevit_deploy.artifact import FileDescription
from mobilevit_deploy.capture import graph_of, quiet_torch, recapture
from mobilevit_deploy.catalog import Precision, Recipe
from mobilevit_deploy.divergence import OWN_DIFFERENCE, OWN_DIFFERENCE_UNROUNDED, Divergence, Sides, difference
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph import Graph
from mobilevit_deploy.load import LoadedModel
from mobilevit_deploy.provenance import Provenance
from mobilevit_deploy.reconstruct import Reconstructed, reconstruct
from mobilevit_deploy.runners import Array, NotMeasured, observe_values, runners_for
from mobilevit_deploy.runners.borders import to_pixels

# The families' artifacts share 73 % of their names with the program at least (lightvit_tiny, ONNX), most of them all.
FEWEST_SHARE = 0.5


def locate(
    file: FileDescription, noted: Provenance | None, recipe: Recipe, precision: Precision, model: LoadedModel
) -> Divergence:
    """Returns the first operation that an artifact computes otherwise.

    Args:
        file: the artifact.
        noted: what it says of itself.
        recipe: that it was exported by.
        precision: of the artifact.
        model: the reference.

    Raises:
        ArtifactError: the artifact has no names in common with the program, as one that mvd did not write.
    """
    graph, images = _program(reconstruct(noted, file, recipe, model), file, noted)
    worst = _worst_batch(file, graph, images)
    sides = _set_up(file, noted, graph, worst)
    found = sides.find(OWN_DIFFERENCE[precision])
    if found is None and precision == "fp16" and not (noted and (noted.prune or noted.keep_fp32)):
        # What half precision's rounding hides: the same with the rounding taken out of both sides.
        found = _set_up(file, noted, _round_weights(graph), worst, widened=True).find_largest(OWN_DIFFERENCE_UNROUNDED)
    return found or sides.find_cancellation()


def _set_up(
    file: FileDescription, noted: Provenance | None, graph: Graph, batch: Array, *, widened: bool = False
) -> Sides:
    """Runs both sides; raises ArtifactError where they have too few names in common."""
    observed = observe_values(file.target, file.path, file.entries[0].function, batch, widened=widened)
    found = {_plain(item.name): item for item in observed}
    pairs = {
        node: found[name]
        for node, name in _names(graph, file).items()
        if name in found and found[name].value.shape == tuple(node.meta["val"].shape)
    }
    if noted is None or len(pairs) < FEWEST_SHARE * len(found):
        raise ArtifactError(
            f"{len(pairs)} of the {len(found)} values of {file.path.name} have the names of the model's: that takes an "
            "artifact that mvd exported, and the same model and recipe"
        )
    return Sides(graph, batch, pairs, len(found))


def _round_weights(graph: Graph) -> Graph:
    """Returns the graph with its float32 weights rounded to half precision."""
    rounded = graph.copy()
    for name, value in rounded.weights.items():
        rounded.weights[name] = value.half().float() if value.dtype == torch.float32 else value
    return rounded


def _program(made: Reconstructed, file: FileDescription, noted: Provenance | None) -> tuple[Graph, Array]:
    """Returns the program decomposed as converters decompose it, and images for it."""
    images = made.prepared.images
    if file.image and noted and noted.image:
        images = to_pixels(images, noted.image)
    with quiet_torch():
        return graph_of(recapture(made.graph, made.prepared.example).run_decompositions({})), images


def _worst_batch(file: FileDescription, graph: Graph, images: Array) -> Array:
    """Returns the batch on which the outputs differ most."""
    entry = file.entries[0]
    openers = runners_for(file.target, file.path, entry.function)
    runner = next(opener for opener in openers if not isinstance(opener, NotMeasured))()
    size = entry.shape[0]

    def error(batch: Array) -> float:
        pairs = zip(graph.run(torch.from_numpy(batch)), runner.run(batch), strict=False)
        return max(difference(before.numpy(), np.asarray(after)) for before, after in pairs)

    return max((images[i : i + size] for i in range(0, len(images), size)), key=error)


def _names(graph: Graph, file: FileDescription) -> dict[Node, str]:
    """Returns what a converter calls the values of a program's nodes; the outputs have names of their own."""
    ends = graph.graph.output_node().all_input_nodes
    outputs = dict(zip(ends, (output.name for output in file.outputs), strict=False))
    calls = [node for node in graph.nodes if node.op == "call_function" and hasattr(node.meta.get("val"), "shape")]
    return {node: outputs.get(node, node.name) for node in calls}


def _plain(name: str) -> str:
    """Returns a value's name without what coremltools adds where it inserts casts."""
    return name.replace("_cast_fp16", "")
