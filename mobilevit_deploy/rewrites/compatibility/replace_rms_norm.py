"""Writes an RMS norm out, scaled so that half precision cannot overflow.

::

    rms_norm(x, gain, eps)   ->   u / sqrt(mean(u^2) + (sqrt(eps) / s)^2) * gain
                                  with u = x / s and s = max(|x|, sqrt(eps))

mean and maximum being over the normalised axes. The result is the same for every s above 0; this one keeps u within 1,
where squares of x beyond 255 would leave half precision.
Why it hurts: coremltools 9.0 scales likewise by ``max(|x|)`` but adds ``eps`` unscaled, divides zeros by zero, and
refuses a norm without a gain or an epsilon of its own.
"""

import math
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceRmsNorm(Rewrite):
    """Elementary ops in place of ``rms_norm``."""

    name: ClassVar[str] = "replace_rms_norm"
    source: ClassVar[str] = "Zhang and Sennrich, arXiv 1910.07467; it does not change when input and epsilon are scaled"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.rms_norm)

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        if not given["eps"]:
            raise Refusal("it has no epsilon, so that nothing bounds the scale from below")
        x, root, axes = given["input"], math.sqrt(given["eps"]), list(range(-len(given["normalized_shape"]), 0))
        with graph.before(node):
            magnitude = graph.call(aten.abs.default, x, like=node)
            largest = graph.call(aten.amax.default, magnitude, axes, True, like=node)
            scale = graph.call(aten.clamp_min.default, largest, root, like=node)
            unit = graph.call(aten.div.Tensor, x, scale, like=node)
            squared = graph.call(aten.mul.Tensor, unit, unit, like=node)
            mean = graph.call(aten.mean.dim, squared, axes, True, like=node)
            constant = graph.add_weight("root_of_epsilon", torch.tensor(root, dtype=x.meta["val"].dtype))
            floor = graph.call(aten.div.Tensor, constant, scale, like=node)
            epsilon = graph.call(aten.mul.Tensor, floor, floor, like=node)
            total = graph.call(aten.add.Tensor, mean, epsilon, like=node)
            size = graph.call(aten.sqrt.default, total, like=node)
            result = graph.call(aten.div.Tensor, unit, size, like=node)
            if given["weight"] is not None:
                result = graph.call(aten.mul.Tensor, result, given["weight"], like=node)
            graph.replace(node, result)
