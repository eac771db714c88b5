"""Where a model loses its digits in float32: the place that makes it ill-conditioned, by PyTorch alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, module_path, op_name
from mobilevit_deploy.graph.replay import default_dtype
from mobilevit_deploy.graph.sample import Sample, in_float64, sample_of
from mobilevit_deploy.graph.source_lines import user_line
from mobilevit_deploy.runners.base import Array

BATCHES = 3
FLOAT32_DB = 144.0  # 24 bits: what a value that was rounded once keeps


@dataclass(frozen=True)
class IllConditioned:
    """The operation at which most is lost, on the way to the output that loses most.

    Attributes:
        module: path of the module; empty for the model itself.
        op: ATen name of the operation.
        line: of the model's code; empty where it is not known.
        snr_before_db: power of what differs between images, over that of what float32 PyTorch differs from float64,
            in front of the operation.
        snr_after_db: the same behind it.
    """

    module: str
    op: str
    line: str
    snr_before_db: float
    snr_after_db: float


def find_loss(graph: Graph, images: Array, batch: int) -> IllConditioned | None:
    """Runs a graph in float32 beside float64, and returns where most is lost; None where it does not run in float64.

    Args:
        graph: as captured, float32.
        images: (N, C, H, W), N a multiple of the batch.
        batch: of the graph.
    """
    batches = [images[i : i + batch] for i in range(0, len(images), batch)][:BATCHES]
    if len(batches) == 1:  # all images are in one batch: each is compared with its neighbour
        batches.append(np.roll(batches[0], 1, axis=0))
    try:
        ratios = _measure(graph, batches)
    except Exception:  # of an op that PyTorch ran in the model, and that does not run alone
        return None
    ends = [node for node in graph.graph.output_node().all_input_nodes if node in ratios]
    if not ends:
        return None
    node: Node | None = min(ends, key=ratios.__getitem__)
    losses: list[tuple[float, float, Node]] = []
    while node is not None:
        inputs = [item for item in node.all_input_nodes if item in ratios]
        worst = min(inputs, key=ratios.__getitem__, default=None)
        before = FLOAT32_DB if worst is None else ratios[worst]
        losses.append((before - ratios[node], before, node))
        node = worst
    _, before, place = max(losses, key=lambda loss: loss[0])
    line = user_line(place.meta.get("stack_trace") or "")
    return IllConditioned(module_path(place), op_name(place), line, before, ratios[place])


def _measure(graph: Graph, batches: Sequence[Array]) -> dict[Node, float]:
    """Returns the SNR of every value that depends on the image, in dB, ``FLOAT32_DB`` at most."""
    exact = graph.copy()
    exact.cast(torch.float32, torch.float64)
    twins = dict(zip(exact.nodes, graph.nodes, strict=True))
    first: dict[Node, Tensor] = {}
    power, noise = dict.fromkeys(graph.nodes, 0.0), dict.fromkeys(graph.nodes, 0.0)
    for images in batches:
        batch = sample_of(images)
        with default_dtype(torch.float64):
            right = {twins[node]: value for node, value in _values(exact, in_float64(batch)).items()}
        rounded = _values(graph, batch)
        first = first or right
        for node in right.keys() & rounded.keys() & first.keys():
            power[node] += float((right[node] - first[node]).square().sum())
            noise[node] += float((right[node] - rounded[node]).square().sum())
    return {node: _decibels(power[node], noise[node]) for node in graph.nodes if power[node]}


def _values(graph: Graph, batch: Sample) -> dict[Node, Tensor]:
    found: dict[Node, Tensor] = {}

    def keep(node: Node, value: object) -> None:
        if isinstance(value, Tensor) and value.is_floating_point():
            found[node] = value.clone()  # a later operation may write into it

    graph.run(batch, observe=keep)
    return found


def _decibels(power: float, noise: float) -> float:
    """Returns a ratio, where a value without noise has what a single rounding leaves; NaN counts as nothing left."""
    ratio = FLOAT32_DB if not noise else float(10 * np.log10(power / noise))
    return min(FLOAT32_DB, ratio) if ratio == ratio else -FLOAT32_DB
