"""The int8 graph with rounding taken out: what it computes in float32, and what it should.

XNNPACK computes a ``.pte`` file as it stands, so it is the graph that is read that the file was lowered from: kept
beside its float32 one while an export is verified. Both have their weights on the same grids, rounded anew here from
the float32 graph, so what is left of a difference is a fault, of a scale, a weight or an operation. The file itself is
compared with its rounding.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.ao.quantization.fx._decomposed  # registers the operations that round
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.graph import arguments, is_call
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.targets.executorch.quantize import LAYERS
from mobilevit_deploy.targets.quantization import round_to_steps

SUFFIX = ".pt2"
LEAST_SCALE = 2.0**-12  # of a weight, by XNNPACK's quantizer
OPS = tuple(op for ops in LAYERS.values() for op in ops)


def keep_graphs(folder: Path, float32: ExportedProgram, int8: ExportedProgram) -> Path:
    """Writes both graphs into a folder of the export's own, and returns the path of the int8 one."""
    torch.export.save(float32, folder / f"float32{SUFFIX}")
    torch.export.save(int8, folder / f"int8{SUFFIX}")
    return folder / f"int8{SUFFIX}"


class GraphRunner:
    """A kept graph in PyTorch, in float32."""

    name = "torch"

    def __init__(self, path: Path, like: Path | None = None) -> None:
        """Reads a graph that ``keep_graphs`` wrote in this export, and no file of anyone else.

        Args:
            path: of the int8 graph; or of the float32 one, with ``like``.
            like: the int8 graph that says which weights are rounded.

        Raises:
            ArtifactError: the two have other layers.
        """
        self.settings: Mapping[str, str] = {"rounding": "weights only"}
        self._module = _module_of(path)
        if like is None:
            remove_pairs(self._module)
        else:
            round_weights(self._module, _module_of(like))

    def run(self, batch: Array) -> Sequence[Array]:
        with torch.no_grad():
            outputs = self._module(torch.from_numpy(batch))
        return [output.numpy() for output in torch.utils._pytree.tree_leaves(outputs)]


def remove_pairs(module: GraphModule) -> None:
    """Takes out the pairs that round an activation, in place; those that do not undo each other are left."""
    for node in list(module.graph.nodes):
        if not _named(node, "dequantize_per_tensor"):
            continue
        quantizer = node.args[0]
        if _named(quantizer, "quantize_per_tensor") and quantizer.args[1:] == node.args[1:]:
            node.replace_all_uses_with(quantizer.args[0])
    module.graph.eliminate_dead_code()
    module.recompile()


def round_weights(module: GraphModule, small: GraphModule) -> None:
    """Rounds the weights of a float32 graph's layers that are integers in the other, in place."""
    layers, others = (list(filter(_is_layer, graph.graph.nodes)) for graph in (module, small))
    if [node.target for node in layers] != [node.target for node in others]:
        raise ArtifactError("the int8 graph has other layers than the float32 one")
    for node, other in zip(layers, others, strict=True):
        stored, weight = arguments(other)["weight"], arguments(node)["weight"]
        if not _named(stored, "dequantize_per_channel"):
            continue
        integers, scale = (_value(small, item).numpy() for item in stored.args[:2])
        exact = _value(module, weight)
        if exact.shape != integers.shape:
            raise ArtifactError("the int8 graph has other weights than the float32 one")
        rounded = round_to_steps(
            exact.detach().numpy(), integers, scale.astype(np.float32), stored.args[3], LEAST_SCALE
        )
        name = f"rounded_{weight.name}"
        module.register_buffer(name, torch.from_numpy(rounded))
        with module.graph.inserting_before(node):
            node.replace_input_with(weight, module.graph.get_attr(name))
    module.recompile()


def _module_of(path: Path) -> GraphModule:
    module = torch.export.load(path).module(check_guards=False)
    assert isinstance(module, GraphModule)  # whatever the signature says
    return module


def _is_layer(node: Node) -> bool:
    return is_call(node, *OPS)


def _named(node: Any, name: str) -> bool:
    return isinstance(node, Node) and str(node.target).startswith(f"quantized_decomposed.{name}.")


def _value(module: GraphModule, node: Any) -> torch.Tensor:
    if not isinstance(node, Node) or node.op != "get_attr":
        raise ArtifactError("a layer of the int8 graph has a weight that is computed")
    owner, _, name = str(node.target).rpartition(".")
    value = getattr(module.get_submodule(owner), name)
    assert isinstance(value, torch.Tensor)  # what a layer reads
    return value
