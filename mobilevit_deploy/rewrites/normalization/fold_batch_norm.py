"""Folds a batch norm into the convolution or linear layer before it, or into those after it.

::

    batch_norm(conv(x, W, b))                ->   conv(x, s * W, s * b + t)
    conv(batch_norm(x), W, b)                ->   conv(x, W * s, b + W t)         only without zero padding
    linear(mean(batch_norm(x), [2, 3]))      ->   linear(mean(x, [2, 3]), W * s, b + W t)
    conv(avg_pool2d(batch_norm(x), k))       ->   conv(avg_pool2d(x, k), W * s, b + W t)

with s = weight / sqrt(var + eps) and t = bias - mean * s per channel. Why it hurts: each batch norm that is
left reads and writes a whole map. ONNX Runtime itself fuses only the first form; the pre-norms of transformer
blocks are of the second. Folding both made cas_vit_m 47.5 to 43.5 ms (one thread, with one Gelu op and one head).

Across zero padding the second form is wrong at the border: the padding is 0 after the norm, and would be
0 before it, which is t too little.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, op_name, readers, shape
from mobilevit_deploy.rewrites.pooling.move_average_pool import averages_whole_windows
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten

CONVOLUTIONS = (aten.conv1d, aten.conv2d, aten.conv3d)
TRANSPOSED = (aten.conv_transpose1d, aten.conv_transpose2d, aten.conv_transpose3d)
RESHAPES = (aten.flatten, aten.view, aten.reshape, aten.squeeze)


class FoldBatchNorm(Rewrite):
    """Removes batch norms by scaling weights; tries the layer before, then the layers after."""

    name: ClassVar[str] = "fold_batch_norm"
    source: ClassVar[str] = "linearity of convolution and batch norm; the measurement above"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.batch_norm)

    def rewrite(self, graph: Graph, node: Node) -> None:
        scale, shift = scale_and_shift(graph, node)
        before: Node = arguments(node)["input"]
        try:
            _fold_into_layer_before(graph, before, scale, shift)
        except Refusal as reason_before:
            try:
                fold_into_layers_after(graph, node, scale, shift)
            except Refusal as reason_after:
                raise Refusal(f"before it: {reason_before}; after it: {reason_after}") from None
        graph.replace(node, before)


def scale_and_shift(graph: Graph, node: Node) -> tuple[Tensor, Tensor]:
    """Returns s and t, (C,) each, of the batch norm as ``x * s + t``; raises Refusal when they are not constant."""
    given = arguments(node)
    mean, variance = graph.weight(given["running_mean"]), graph.weight(given["running_var"])
    if given["training"] or mean is None or variance is None:
        raise Refusal("it normalises by the statistics of the batch")
    weight, bias = graph.weight(given["weight"]), graph.weight(given["bias"])
    scale = (variance + given["eps"]).rsqrt() * (1 if weight is None else weight)
    return scale, (0 if bias is None else bias) - mean * scale


def layer_weights(graph: Graph, layer: Node) -> tuple[Tensor, Tensor | None]:
    """Returns weight and bias of a convolution or linear call; raises Refusal for those that no rewrite can edit."""
    given = arguments(layer)
    weight, bias = graph.weight(given["weight"]), graph.weight(given["bias"])
    if weight is None or (bias is None and given["bias"] is not None):
        raise Refusal("the layer's weights are computed in the graph")
    if weight.ndim == 1:
        raise Refusal("the layer has one output, and no axis for it")
    return weight, bias


def _fold_into_layer_before(graph: Graph, layer: Node, scale: Tensor, shift: Tensor) -> None:
    if not is_call(layer, *CONVOLUTIONS, *TRANSPOSED, aten.linear):
        raise Refusal("there is no convolution or linear layer")
    if len(readers(layer)) != 1:
        raise Refusal("the layer's output is read elsewhere too")
    if is_call(layer, aten.linear) and len(shape(layer)) != 2:
        raise Refusal("the linear layer's features are not on the norm's channel axis")
    scale_outputs(graph, layer, scale, shift)


def scale_outputs(graph: Graph, layer: Node, scale: Tensor, shift: Tensor | None = None) -> None:
    """Gives a layer weights with which it computes ``y * s + t``, s and t of shape (C,); raises Refusal before that."""
    weight, bias = layer_weights(graph, layer)
    if is_call(layer, *TRANSPOSED):  # (in, out / groups, ...), output channels grouped
        grouped = _grouped(weight, arguments(layer)["groups"])
        factors = scale.view(grouped.shape[0], 1, grouped.shape[2], *[1] * (weight.ndim - 2))
        folded = (grouped * factors).flatten(0, 1)
    else:  # (out, in / groups, ...)
        folded = weight * scale.view(-1, *[1] * (weight.ndim - 1))
    scaled = None if bias is None else scale * bias
    graph.set_weights(layer, folded, scaled if shift is None else shift if scaled is None else scaled + shift)


def fold_into_layers_after(graph: Graph, node: Node, scale: Tensor, shift: Tensor) -> None:
    """Gives the layers that read ``x * s + t`` weights with which they read x; raises Refusal before any edit."""
    layers = _layers_after(graph, node)
    for layer in layers:
        weight, bias = layer_weights(graph, layer)
        groups = 1 if is_call(layer, aten.linear) else arguments(layer)["groups"]
        grouped = _grouped(weight, groups)  # (groups, out / groups, in / groups, ...)
        form = (groups, 1, grouped.shape[2], *[1] * (weight.ndim - 2))
        added = (grouped * shift.view(form)).flatten(2).sum(2).flatten()  # (out,)
        graph.set_weights(layer, (grouped * scale.view(form)).flatten(0, 1), added if bias is None else bias + added)


def _grouped(weight: Tensor, groups: int) -> Tensor:
    """Returns a weight with its first axis split, (groups, first / groups, ...)."""
    return weight.view(groups, -1, *weight.shape[1:])


def _layers_after(graph: Graph, node: Node) -> list[Node]:
    """Returns the layers that read a node, directly or through ops that keep channels apart; raises Refusal."""
    layers: list[Node] = []
    for reader in readers(node):
        if is_call(reader, *CONVOLUTIONS) and reader.args[0] is node:
            if _pads(reader):
                raise Refusal("the convolution pads with zeros")
            layer_weights(graph, reader)
            layers.append(reader)
        elif is_call(reader, aten.linear) and reader.args[0] is node and len(shape(node)) == 2:
            layer_weights(graph, reader)
            layers.append(reader)
        elif _averages_maps(reader) or _pools(reader) or _drops_unit_axes(reader, node):
            layers += _layers_after(graph, reader)
        else:
            raise Refusal(f"it is read by {op_name(reader) or 'the output'}")
    if not layers:
        raise Refusal("nothing reads it")
    return layers


def _pads(convolution: Node) -> bool:
    padding = arguments(convolution)["padding"]
    if isinstance(padding, str):
        kernel = shape(convolution.args[1])[2:]  # type: ignore[arg-type]  # the weight of a convolution is a node
        return padding == "same" and any(size != 1 for size in kernel)
    return any(padding)


def _averages_maps(node: Node) -> bool:
    """Tells whether a node averages over axes behind the channels."""
    if not is_call(node, aten.mean) or node.target is not aten.mean.dim:
        return False
    given = arguments(node)
    axes = [axis % len(shape(given["self"])) for axis in given["dim"] or ()]
    return bool(axes) and min(axes) > 1 and given["dtype"] is None


def _pools(node: Node) -> bool:
    return is_call(node, aten.avg_pool2d) and averages_whole_windows(node)


def _drops_unit_axes(node: Node, x: Node) -> bool:
    """Tells whether a node only adds or drops axes of length 1 behind the channels."""
    return (
        is_call(node, *RESHAPES) and shape(node)[:2] == shape(x)[:2] and set(shape(node)[2:]) | set(shape(x)[2:]) <= {1}
    )
