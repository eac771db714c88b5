"""The first module whose output an artifact computes otherwise than PyTorch.

Converters name what an operation computes after the node of the exported program that it came from. So the program is
made again, as the export makes it, both sides run once on one image with every intermediate value looked at, and values
of one name and one shape are set beside each other.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.fx import Node

from mobilevit_deploy.catalog.recipe import Precision, Recipe
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.capture import graph_of
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.graph.sample import sample_of
from mobilevit_deploy.pipeline.origin import takes_channels_last
from mobilevit_deploy.pipeline.provenance import Provenance
from mobilevit_deploy.pipeline.reconstruct import Reconstructed, convert_again
from mobilevit_deploy.runners.app_interface import to_pixels
from mobilevit_deploy.runners.base import Array, NotMeasured, Observed, Reading, difference
from mobilevit_deploy.targets.artifact import FileDescription
from mobilevit_deploy.targets.registry import observe_values, runners_for
from mobilevit_deploy.verification.divergence import OWN_DIFFERENCE, OWN_DIFFERENCE_UNROUNDED, Divergence, Sides

# The families' artifacts share 73 % of their names with the program at least (lightvit_tiny, ONNX), most of them all.
FEWEST_SHARE = 0.5


def locate(
    made: Reconstructed, file: FileDescription, noted: Provenance | None, recipe: Recipe, precision: Precision
) -> Divergence:
    """Returns the first operation that an artifact computes otherwise.

    Args:
        made: what its converter was given, made again.
        file: the artifact.
        noted: what it says of itself.
        recipe: that it was exported by.
        precision: of the artifact.

    Raises:
        ArtifactError: the artifact has no names in common with the program, as one that mvd did not write.
    """
    graph, images = _program(made, file, noted)
    worst = _worst_batch(file, graph, images)
    sides = _set_up(file, noted, graph, _observe(file, worst, "rounded"), worst)

    def find_below_rounding() -> Divergence | None:
        if precision != "int8" and (precision != "fp16" or (noted and (noted.prune or noted.keep_fp32))):
            return None
        return _find_below_rounding(made, file, noted, recipe, graph, worst)

    # Images of another kind than int8 was calibrated on leave its ranges: what is not rounding is sought first.
    if precision == "int8":
        found = find_below_rounding() or sides.find(OWN_DIFFERENCE[precision])
    else:
        found = sides.find(OWN_DIFFERENCE[precision]) or find_below_rounding()
    return found or sides.find_cancellation()


def check_operations(made: Reconstructed, file: FileDescription, noted: Provenance | None) -> Divergence | None:
    """Returns the first operation of a float32 artifact that is wrong from its own inputs; None where each is right.

    Where a model loses so much in float32 that a wrong operation could hide in it, this still tells: no loss of one
    operation is counted for the next.

    Raises:
        ArtifactError: see ``locate``; and where the target's runner shows no values.
    """
    graph, images = _program(made, file, noted)
    worst = _worst_batch(file, graph, images)
    return _set_up(file, noted, graph, _observe(file, worst, "rounded"), worst).find(OWN_DIFFERENCE["fp32"])


def _find_below_rounding(
    made: Reconstructed,
    file: FileDescription,
    noted: Provenance | None,
    recipe: Recipe,
    graph: Graph,
    batch: Array,
) -> Divergence | None:
    """Returns the fault that half precision's or int8's rounding hides, by taking the rounding out of both sides."""
    with tempfile.TemporaryDirectory(prefix="mvd-float32-") as folder:
        path = Path(folder) / f"float32{file.path.suffix}"
        convert_again(made, noted, file, recipe, path, precision="fp32")
        return _compare_unrounded(path, file, noted, graph, batch)


def check_unrounded(
    made: Reconstructed, file: FileDescription, noted: Provenance | None, float32: Path
) -> Divergence | None:
    """Returns the first value of a half-precision artifact that is another one than a float32 conversion's.

    Args:
        made: see ``locate``.
        file: see ``locate``.
        noted: see ``locate``.
        float32: a conversion of the same graph.

    Raises:
        ArtifactError: see ``locate``.
    """
    graph, images = _program(made, file, noted)
    return _compare_unrounded(float32, file, noted, graph, images[: made.prepared.model.input_shape[0]])


def _compare_unrounded(
    float32: Path, file: FileDescription, noted: Provenance | None, graph: Graph, batch: Array
) -> Divergence | None:
    """Sets values beside those of a float32 conversion with its constants rounded, and not beside PyTorch's.

    A converter folds numbers of the graph into weights, and then rounds once what PyTorch's side would round twice.
    """
    values = observe_values(file.target, float32, None, batch, "rounded constants", file.path)
    right = {_plain(item.name): item.value for item in values}
    observed = _observe(file, batch, "unrounded")
    sides = _set_up(file, noted, _round_weights(graph), observed, batch)
    named = {node: right[name] for node, item in sides.pairs.items() if (name := _plain(item.name)) in right}
    wrong = sides.find_other(named, OWN_DIFFERENCE_UNROUNDED)
    return None if wrong is None else sides.describe_wrong(wrong, OWN_DIFFERENCE_UNROUNDED)


def _observe(file: FileDescription, batch: Array, reading: Reading) -> list[Observed]:
    return observe_values(file.target, file.path, file.entries[0].function, batch, reading)


def _set_up(
    file: FileDescription, noted: Provenance | None, graph: Graph, observed: Sequence[Observed], batch: Array
) -> Sides:
    """Sets both sides' values beside each other; raises ArtifactError where they have too few names in common."""
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
    if takes_channels_last(file, noted):
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    with quiet_torch():
        return graph_of(made.program.run_decompositions({})), images


def _worst_batch(file: FileDescription, graph: Graph, images: Array) -> Array:
    """Returns the batch on which the outputs differ most."""
    entry = file.entries[0]
    openers = runners_for(file.target, file.path, entry.function)
    runner = next(opener for opener in openers if not isinstance(opener, NotMeasured))()
    size = 1 if images.dtype.names else entry.shape[0]

    def error(batch: Array) -> float:
        pairs = zip(graph.run(sample_of(batch)), runner.run(batch), strict=False)
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
