"""Writes a depthwise transposed convolution with kernel = stride as an upsampling times a constant.

::

    conv_transpose2d(x, W, b, stride = kernel, groups = C)   ->   upsample_nearest2d(x) * tiled(W) + b

Each input position fills its own square of the output, with its value times the kernel; no two squares
overlap. The kernel, repeated over the map, is a constant (1, C, H, W) of the output's size: what is saved in
time is paid in the file.

Why it hurts: a grouped transposed convolution is the special case of a special case, while nearest upsampling
and a product are elementwise everywhere. Between two 1x1 convolutions, on one thread of ONNX Runtime, SAEViT's
shapes (48 channels by 8, 96 by 4, 192 by 2, from 7x7) took 185, 166 and 131 us as a transposed convolution, 177,
182 and 157 us as a grouped 1x1 and a pixel shuffle, and 154, 125 and 109 us in this form.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, as_pair, shape
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import layer_weights
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceDepthwiseDeconvolution(Rewrite):
    """``upsample_nearest2d``, ``mul`` and, where there is a bias, ``add``; (B, C, H, W) to (B, C, H * r, W * r)."""

    name: ClassVar[str] = "replace_depthwise_deconvolution"
    source: ClassVar[str] = "the definition; the measurement above"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.conv_transpose2d):
            if arguments(node)["groups"] > 1:
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        x: Node = given["input"]
        weight, bias = layer_weights(graph, node)
        if len(shape(x)) != 4:
            raise Refusal("the input is no batch of maps")
        if weight.shape[:2] != (given["groups"], 1):
            raise Refusal("it is grouped, and not depthwise: a channel reads or writes several")
        kernel = (weight.shape[2], weight.shape[3])
        if as_pair(given["stride"]) != kernel:
            raise Refusal(
                f"the stride {as_pair(given['stride'])} is not the kernel {kernel}: squares overlap or leave gaps"
            )
        if any((*as_pair(given["padding"]), *as_pair(given["output_padding"]))):
            raise Refusal("padding cuts the squares at the border, or adds to them")
        if kernel != (1, 1) and any(d != 1 and k != 1 for d, k in zip(as_pair(given["dilation"]), kernel, strict=True)):
            raise Refusal("the kernel is dilated")
        tiled = weight.transpose(0, 1).tile(1, 1, *shape(x)[2:])  # (1, C, H * r, W * r)
        with graph.before(node):
            scales = [float(size) for size in kernel]
            y = graph.call(aten.upsample_nearest2d.vec, x, None, scales, like=node)
            y = graph.call(aten.mul.Tensor, y, graph.add_weight(str(given["weight"].target), tiled), like=node)
            if bias is not None:
                shift = graph.add_weight(str(given["bias"].target), bias.view(1, -1, 1, 1))
                y = graph.call(aten.add.Tensor, y, shift, like=node)
        graph.replace(node, y)
