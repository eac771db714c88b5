"""The first module whose output an artifact computes otherwise than PyTorch, and what kind of fault it is.

Converters name what an operation computes after the node of the exported program that it came from. So the program is
made again, as the export makes it, both sides run once on one image with every intermediate value looked at, and values
of one name and one shape are set beside each other in the order of computation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.artifact import FileDescription
from mobilevit_deploy.blame import user_line
from mobilevit_deploy.capture import graph_of, quiet_torch, recapture
from mobilevit_deploy.catalog import Precision, Recipe
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph import Graph, module_path, op_name
from mobilevit_deploy.load import LoadedModel
from mobilevit_deploy.provenance import Provenance
from mobilevit_deploy.ranges import FP16_LARGEST
from mobilevit_deploy.reconstruct import Reconstructed, reconstruct
from mobilevit_deploy.rewriting import default_dtype
from mobilevit_deploy.runners import Array, NotMeasured, Observed, observe_values, runners_for
from mobilevit_deploy.runners.borders import to_pixels

Kind = Literal["overflow", "cancellation", "wrong op"]

# Below this, a difference at one value is what its precision costs: as a share of the value's largest magnitude, each
# ten times what right artifacts of the twelve variants show between neighbouring operations.
FLOOR: Mapping[Precision, float] = {"fp32": 1e-6, "fp16": 2e-3, "w8": 1e-2, "w6": 3e-2, "w4": 1e-1}
CLEARED = 4.0  # a fault of rounding shrinks by more than this where nothing is rounded


@dataclass(frozen=True)
class Divergence:
    """Where an artifact begins to compute something else.

    Attributes:
        module: path of the module; empty for the model itself.
        op: ATen name of the operation.
        line: of the model's code, such as ``line 7 of net.py``; empty where it is not known.
        name: of the value in the artifact.
        artifact_op: what computes it there.
        kind: what the fault looks like.
        detail: the figures that tell so.
        difference: largest, over the value's largest magnitude.
        before: the same, the largest over the operation's inputs.
        compared: how many values were set beside each other.
        computed: how many the artifact computes.
    """

    module: str
    op: str
    line: str
    name: str
    artifact_op: str
    kind: Kind
    detail: str
    difference: float
    before: float
    compared: int
    computed: int


def locate(
    file: FileDescription, noted: Provenance | None, recipe: Recipe, precision: Precision, model: LoadedModel
) -> Divergence:
    """Returns the first value that an artifact computes otherwise.

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
    entry = file.entries[0]
    worst = _worst_batch(file, graph, images)
    expected = _run(graph, worst)
    found = {_plain(item.name): item for item in observe_values(file.target, file.path, entry.function, worst)}
    pairs = {
        node: found[name]
        for node, name in _names(graph, file).items()
        if node in expected and name in found and found[name].value.shape == expected[node].shape
    }
    if not pairs:
        raise ArtifactError(
            f"no value in {file.path.name} has the name of a node of the model: the module cannot be told",
            "locating needs an artifact that mvd exported, with the same model and recipe",
        )
    differences = {node: _difference(expected[node], item.value) for node, item in pairs.items()}
    node, before = _culprit(differences, FLOOR[precision])
    scene = _Scene(file, precision, graph, worst, expected, pairs, differences)
    kind, detail = scene.judge(node, before)
    return Divergence(
        module=module_path(node),
        op=op_name(node) or "output",
        line=user_line(node.meta.get("stack_trace") or ""),
        name=pairs[node].name,
        artifact_op=pairs[node].op,
        kind=kind,
        detail=detail,
        difference=differences[node],
        before=before,
        compared=len(pairs),
        computed=len(found),
    )


@dataclass(frozen=True)
class _Scene:
    """Everything that was seen of both sides, to tell what kind of fault a value shows."""

    file: FileDescription
    precision: Precision
    graph: Graph
    batch: Array
    expected: Mapping[Node, Array]
    pairs: Mapping[Node, Observed]
    differences: Mapping[Node, float]

    def judge(self, node: Node, before: float) -> tuple[Kind, str]:
        """Returns the kind of fault, and the figures that tell."""
        largest = float(np.abs(self.expected[node]).max(initial=0))
        broken = int((~np.isfinite(self.pairs[node].value)).sum())
        if broken or (self.precision != "fp32" and largest > FP16_LARGEST):
            return "overflow", (
                f"{broken} of {self.expected[node].size} values are not finite; PyTorch's reach {largest:.4g}, "
                f"and those that it is computed from {self._largest_input(node):.4g}; half precision ends at 65504"
            )
        exact = self._without_rounding(node)
        difference = self.differences[node]
        if exact is not None and exact < difference / CLEARED:
            return "cancellation", (
                f"computed without rounding the difference is {exact:.1e} of the largest value in place of "
                f"{difference:.1e}; the result reaches {largest:.4g}, what it is computed from "
                f"{self._largest_input(node):.4g}"
            )
        return "wrong op", (
            f"differs by {difference:.1e} of the largest value, and what it is computed from by {before:.1e}; "
            "an attribute, an input or a weight of the operation is another one"
        )

    def _largest_input(self, node: Node) -> float:
        values = [self.expected[item] for item in node.all_input_nodes if item in self.expected]
        return max((float(np.abs(value).max(initial=0)) for value in values), default=float("nan"))

    def _without_rounding(self, node: Node) -> float | None:
        """Returns the difference that is left with more digits: wider artifact, or PyTorch in float64 for float32."""
        if self.precision == "fp32":
            exact = self.graph.copy()
            with default_dtype(torch.float64):
                exact.cast(torch.float32, torch.float64)
                values = {item.name: value for item, value in _run(exact, self.batch, torch.float64).items()}
            # How far PyTorch's own float32 is off: where that explains the difference, little is left of it.
            return max(self.differences[node] - CLEARED * _difference(values[node.name], self.expected[node]), 0.0)
        name = self.pairs[node].name
        wide = observe_values(self.file.target, self.file.path, self.file.entries[0].function, self.batch, widened=True)
        value = next(item.value for item in wide if item.name == name)
        return _difference(self.expected[node], value)


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
    opener = next(
        item for item in runners_for(file.target, file.path, entry.function) if not isinstance(item, NotMeasured)
    )
    runner = opener()
    size = entry.shape[0]
    batches = [images[i : i + size] for i in range(0, len(images), size)]

    def error(batch: Array) -> float:
        pairs = zip(graph.run(torch.from_numpy(batch)), runner.run(batch), strict=False)
        return max(_difference(before.numpy(), after) for before, after in pairs)

    return max(batches, key=error)


def _run(graph: Graph, batch: Array, dtype: torch.dtype = torch.float32) -> dict[Node, Array]:
    """Returns what every node computes, and the outputs under the output node."""
    values: dict[Node, Array] = {}

    def keep(node: Node, value: object) -> None:
        if isinstance(value, Tensor):
            values[node] = value.numpy(force=True).copy()

    graph.run(torch.from_numpy(batch).to(dtype), observe=keep)
    return values


def _names(graph: Graph, file: FileDescription) -> dict[Node, str]:
    """Returns what a converter calls the values of a program's nodes; the outputs have names of their own."""
    names = {node: node.name for node in graph.nodes if node.op == "call_function"}
    ends = graph.graph.output_node().all_input_nodes
    return names | dict(zip(ends, (output.name for output in file.outputs), strict=False))


def _plain(name: str) -> str:
    """Returns a value's name without what coremltools adds where it inserts casts."""
    return name.replace("_cast_fp16", "")


def _difference(expected: Array, found: Array) -> float:
    """Returns the largest difference over the largest magnitude; infinity where only the artifact is not finite."""
    if expected.shape != found.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    before, after = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(before)
    if not np.isfinite(after[finite]).all():
        return float("inf")
    largest = np.abs(before[finite]).max(initial=0)
    difference = float(np.abs(after[finite] - before[finite]).max(initial=0))
    return difference / float(largest) if largest else difference


def _culprit(differences: Mapping[Node, float], floor: float) -> tuple[Node, float]:
    """Returns the value whose difference is the largest beside that of what it is computed from, and the latter."""
    before = {node: _inherited(node, differences) for node in differences}
    jumps = {node: difference / max(floor, before[node]) for node, difference in differences.items()}
    # The first of those that jump at all, if one stops being finite; else the largest jump.
    node = next((node for node in jumps if jumps[node] == float("inf")), None) or max(jumps, key=lambda n: jumps[n])
    return node, before[node]


def _inherited(node: Node, differences: Mapping[Node, float]) -> float:
    """Returns the largest difference among the nearest values before a node that were compared."""
    largest, seen, waiting = 0.0, set[Node](), list(node.all_input_nodes)
    while waiting:
        item = waiting.pop()
        if item in seen:
            continue
        seen.add(item)
        if item in differences:
            largest = max(largest, differences[item])
        else:
            waiting += item.all_input_nodes
    return largest
