"""What an app feeds and reads: normalisation or another order of axes in front of a graph, and decisions behind it.

Decisions (the class of a pixel, the boxes that are left) come last, after every rewrite: a rewrite is proved on the
numbers that they are made of, which differ in the sixteenth digit, where two decisions could differ altogether.
"""

from collections.abc import Sequence

import torch
from torch.fx import Node

from mobilevit_deploy.architectures.operations.suppression import SUPPRESS
from mobilevit_deploy.catalog.decision import Decision, LabelMap, Suppression
from mobilevit_deploy.graph.graph import Graph, arguments, is_call, shape

ATEN = torch.ops.aten
TO_CHANNELS_LAST, TO_CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def normalize_pixels(graph: Graph, mean: Sequence[float], std: Sequence[float]) -> Graph:
    """Returns a graph whose input has pixel values 0 to 255.

    Before: ``f(x)``, x normalised. After: ``f(x * 1 / (255 std) - mean / std)``, that is of ``(x / 255 - mean) / std``;
    the constants are rounded once, from float64. A target's own image input has one scale for all channels, which
    loses a std that differs between them.

    Args:
        graph: with one input (B, C, H, W).
        mean: per channel, of values in [0, 1].
        std: per channel.
    """
    edited = graph.copy()
    pixels = next(node for node in edited.nodes if node.op == "placeholder")
    first = pixels.next
    readers = list(pixels.users)
    dtype = pixels.meta["val"].dtype
    exact_std = torch.tensor(std, dtype=torch.float64).view(1, -1, 1, 1)  # (1, C, 1, 1)
    exact_mean = torch.tensor(mean, dtype=torch.float64).view(1, -1, 1, 1)
    with edited.before(first):
        scale = edited.add_weight("pixel_scale", (1 / (255 * exact_std)).to(dtype))
        offset = edited.add_weight("pixel_offset", (exact_mean / exact_std).to(dtype))
        scaled = edited.call(ATEN.mul.Tensor, pixels, scale, like=pixels)
        # Not the sum with a negative: coremltools fuses product and sum into a batch_norm with an epsilon of 1e-5.
        normalised = edited.call(ATEN.sub.Tensor, scaled, offset, like=pixels)
    for reader in readers:
        reader.replace_input_with(pixels, normalised)
    return edited


def take_channels_last(graph: Graph) -> Graph:
    """Returns a graph whose input is (B, H, W, C); what the graph turned that way itself, it now reads as it comes.

    Args:
        graph: with one input (B, C, H, W).
    """
    edited = graph.copy()
    image = next(node for node in edited.nodes if node.op == "placeholder")
    readers = list(image.users)
    image.meta["val"] = image.meta["val"].permute(TO_CHANNELS_LAST).contiguous()
    with edited.before(image.next):
        turned = edited.call(ATEN.permute.default, image, TO_CHANNELS_FIRST, like=image)
    for reader in readers:
        if is_call(reader, ATEN.permute) and [axis % 4 for axis in arguments(reader)["dims"]] == TO_CHANNELS_LAST:
            edited.replace(reader, image)
        else:
            reader.replace_input_with(image, turned)
    edited.remove_unread(turned)
    return edited


def returns_probabilities(graph: Graph) -> bool:
    """Tells whether the one output, (B, classes), is a softmax over the classes already."""
    outputs = graph.graph.output_node().all_input_nodes
    if len(outputs) != 1 or not is_call(outputs[0], ATEN.softmax, ATEN._softmax) or len(shape(outputs[0])) != 2:
        return False
    return arguments(outputs[0])["dim"] in (1, -1)


def append_softmax(graph: Graph) -> Graph:
    """Returns a graph whose one output, (B, classes), is probabilities in place of logits."""
    edited = graph.copy()
    end = edited.graph.output_node()
    (logits,) = end.all_input_nodes
    assert len(shape(logits)) == 2, shape(logits)  # callers check the output first
    with edited.before(end):
        probabilities = edited.call(ATEN.softmax.int, logits, -1, like=end)
    end.replace_input_with(logits, probabilities)
    return edited


Shapes = dict[str, tuple[int, ...]]


def append_decision(graph: Graph, decision: Decision, height: int, width: int) -> tuple[Graph, Shapes]:
    """Returns a graph that decides, and the shapes of its outputs by name.

    Args:
        graph: whose outputs are logits (B, classes, H, W), or boxes (1, N, 4) and scores (1, N, classes).
        decision: what is decided.
        height: of the image, in pixels.
        width: likewise.
    """
    edited = graph.copy()
    end = edited.graph.output_node()
    with edited.before(end):
        if isinstance(decision, LabelMap):
            (logits,) = end.all_input_nodes
            found = {"labels": _label_map(edited, logits)}
        else:
            boxes, scores = end.all_input_nodes
            found = _suppressed(edited, boxes, scores, decision, decision.level_sizes(shape(boxes)[1], height, width))
    edited.set_outputs(found)
    return edited, {name: shape(node) for name, node in found.items()}


def _label_map(graph: Graph, logits: Node) -> Node:
    largest = graph.call(ATEN.argmax.default, logits, 1, like=logits)
    return graph.call(ATEN._to_copy.default, largest, like=logits, dtype=torch.int32)


def _suppressed(
    graph: Graph, boxes: Node, scores: Node, rule: Suppression, level_sizes: Sequence[int]
) -> dict[str, Node]:
    call = graph.call(SUPPRESS, boxes, scores, list(level_sizes), *rule.settings, like=scores)
    return {name: graph.item(call, i) for i, name in enumerate(("boxes", "scores", "labels", "count"))}
