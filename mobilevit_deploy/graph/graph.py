"""The captured graph as rewrites see it: ATen calls to match, weights to read, nodes to put in their place."""

import copy
import operator
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.replay import Observe, Replay
from mobilevit_deploy.graph.sample import Sample

Packet = torch._ops.OpOverloadPacket


class Graph:
    """A plain graph of ATen calls and its weights by name; one image input (B, C, H, W), or several inputs.

    ``node.meta["val"]`` of every node holds its shape and dtype as a tensor on the meta device. The weights'
    memory may be shared with other graphs and is never written to.

    Attributes:
        graph: the calls.
        weights: by the names that its ``get_attr`` nodes have.
        unkept: weights that the model writes to, whose new values no run keeps; of a captured graph alone.
    """

    def __init__(self, graph: fx.Graph, weights: Mapping[str, Tensor]) -> None:
        """Takes over a graph whose ``get_attr`` nodes name entries of ``weights``."""
        self.graph = graph
        self.weights = dict(weights)
        self.unkept: tuple[str, ...] = ()

    @classmethod
    def from_module(cls, module: fx.GraphModule) -> "Graph":
        """Reads a captured module: its graph, and the weights that the graph reads."""
        weights = {}
        for node in module.graph.nodes:
            if node.op == "get_attr":
                weights[str(node.target)] = operator.attrgetter(str(node.target))(module).detach()
            if "val" in node.meta:
                node.meta["val"] = pytree.tree_map_only(Tensor, _to_meta, node.meta["val"])
        graph = cls(module.graph, weights)
        graph.remove_dead()
        return graph

    def to_module(self) -> fx.GraphModule:
        """Returns a module that computes the graph, as ``torch.export`` takes it."""
        root = nn.Module()
        for name, value in self.weights.items():
            owner: nn.Module = root
            *path, leaf = name.split(".")
            for part in path:
                if part not in owner._modules:
                    owner.add_module(part, nn.Module())
                owner = owner.get_submodule(part)
            owner.register_buffer(leaf, _with_plain_strides(value))
        return fx.GraphModule(root, self.graph)

    def copy(self) -> "Graph":
        """Returns a graph that can be edited alone."""
        graph = fx.Graph()
        end = graph.output(graph.graph_copy(self.graph, val_map={}))
        end.meta = dict(self.graph.output_node().meta)
        graph.set_codegen(self.graph._codegen)  # how inputs and outputs are packed, which no rewrite changes
        return Graph(graph, self.weights)

    def run(
        self, sample: Sample, observe: Observe | None = None, given: Mapping[Node, Tensor] | None = None
    ) -> list[Tensor]:
        """Returns the outputs for one input, flattened to a list.

        Args:
            sample: (B, C, H, W), or a tensor for each input.
            observe: is called with what each node computes.
            given: what the readers of a node are handed in place of what it computes.
        """
        return Replay(self.graph, self.weights, observe, given).outputs(sample)

    @property
    def nodes(self) -> list[Node]:
        """Returns the nodes in order, as a list that survives editing."""
        return list(self.graph.nodes)

    def calls(self, *ops: Packet) -> Iterator[Node]:
        """Yields the calls of the given ops that are still in the graph, in order, while it is being edited."""
        for node in self.nodes:
            if is_call(node, *ops) and not node._erased:
                yield node

    def histogram(self) -> dict[str, int]:
        """Returns how often each ATen op is called, the most frequent first."""
        return dict(Counter(op_name(node) for node in self.nodes if op_name(node)).most_common())

    def weight(self, node: object) -> Tensor | None:
        """Returns the tensor that a node reads from the weights, or None when it is computed or absent."""
        if not isinstance(node, Node) or node.op != "get_attr":
            return None
        return self.weights[str(node.target)]

    @contextmanager
    def before(self, node: Node) -> Iterator[None]:
        """Inserts what is created inside the block in front of a node."""
        with self.graph.inserting_before(node):
            yield

    def add_weight(self, name: str, value: Tensor) -> Node:
        """Adds a tensor under a dotted name, made unique, and returns the node that reads it."""
        unique, count = name, 1
        while unique in self.weights:
            count += 1
            unique = f"{name}_{count}"
        self.weights[unique] = value.detach().contiguous()
        node = self.graph.create_node("get_attr", unique)
        node.meta["val"] = _to_meta(value)
        return node

    def _share_weight(self, name: str, value: Tensor) -> Node:
        """Returns a node that reads a tensor: the equal one that another call of its layer has, or a new one.

        A head that is shared by five levels has its weights once, and so it is when a norm is folded into all five.
        """
        for known, tensor in self.weights.items():
            same_layer = known.startswith(name) and re.fullmatch(r"(_\d+)?", known.removeprefix(name))
            if same_layer and tensor.dtype == value.dtype and torch.equal(tensor, value):
                node = self.graph.create_node("get_attr", known)
                node.meta["val"] = _to_meta(value)
                return node
        return self.add_weight(name, value)

    def set_weights(self, node: Node, weight: Tensor, bias: Tensor | None) -> None:
        """Gives a convolution or linear call other weights, under the old ones' names where nothing else reads them."""
        given = arguments(node)
        old_weight, old_bias = given["weight"], given["bias"]
        weight_name = str(old_weight.target)
        sibling = f"{weight_name.rpartition('.')[0]}.bias".lstrip(".")
        bias_name = sibling if old_bias is None else str(old_bias.target)
        node.args = (given["input"], None, None, *node.args[3:])
        node.kwargs = {key: value for key, value in node.kwargs.items() if key not in ("weight", "bias")}
        for old in (old_weight, old_bias):
            if old is not None:
                self.remove_unread(old)
        self._drop_unread_weights()
        with self.before(node):
            new_weight = self._share_weight(weight_name, weight)
            new_bias = None if bias is None else self._share_weight(bias_name, bias)
        node.args = (given["input"], new_weight, new_bias, *node.args[3:])

    def call(self, op: torch._ops.OpOverload, *args: Any, like: Node, **settings: Any) -> Node:
        """Adds a call whose shape is inferred and whose module path is that of the node it replaces."""
        node = self.graph.call_function(op, args, settings)
        for key in ("nn_module_stack", "stack_trace", "custom"):
            if key in like.meta:
                node.meta[key] = like.meta[key]
        values = pytree.tree_map_only(Node, lambda item: item.meta["val"], (args, settings))
        node.meta["val"] = op(*values[0], **values[1])
        return node

    def item(self, node: Node, place: int) -> Node:
        """Adds a node for one of the results of a call that has several."""
        part = self.graph.call_function(operator.getitem, (node, place))
        part.meta = {**node.meta, "val": node.meta["val"][place]}
        return part

    def set_outputs(self, outputs: Mapping[str, Node]) -> None:
        """Lets the graph return a dictionary of these nodes, and removes what nothing reads any more."""
        end = self.graph.output_node()
        end.args = (tuple(outputs.values()),)
        end.meta["val"] = tuple(node.meta["val"] for node in outputs.values())
        codegen = self.graph._codegen
        if isinstance(codegen, fx.graph._PyTreeCodeGen):  # how the outputs are packed
            form = pytree.tree_structure(dict.fromkeys(outputs, 0))
            codegen = copy.copy(codegen)
            codegen.pytree_info = codegen.pytree_info._replace(out_spec=form)
            self.graph.set_codegen(codegen)
        self.remove_dead()

    def replace(self, old: Node, new: Node) -> None:
        """Lets every reader of a node read another one, and removes what nothing reads any more."""
        old.replace_all_uses_with(new)
        self.remove_unread(old)

    def remove_unread(self, node: Node) -> None:
        """Removes a node that nothing reads, and then its inputs likewise."""
        if node.users or node.op in ("placeholder", "output"):
            return
        inputs = node.all_input_nodes
        self.graph.erase_node(node)
        for item in inputs:
            if not item._erased:
                self.remove_unread(item)

    def remove_dead(self) -> None:
        """Removes every call, and every weight, that no output depends on: assertions too, and random numbers."""
        self.graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output") or writes(node))
        self._drop_unread_weights()

    def _drop_unread_weights(self) -> None:
        read = {str(node.target) for node in self.graph.find_nodes(op="get_attr")}
        self.weights = {name: value for name, value in self.weights.items() if name in read}

    def cast(self, source: torch.dtype, target: torch.dtype) -> None:
        """Turns weights, and dtypes that calls name, from one floating-point type into another.

        An epsilon that a call leaves to its dtype stays that of the source.
        """
        for name, value in self.weights.items():
            self.weights[name] = value.to(target) if value.dtype == source else value
        for node in self.nodes:
            if is_call(node, torch.ops.aten.rms_norm) and node.meta["val"].dtype == source:
                given = arguments(node)
                given["eps"] = torch.finfo(source).eps if given["eps"] is None else given["eps"]
                node.args, node.kwargs = tuple(given.values()), {}
            node.args, node.kwargs = pytree.tree_map_only(
                torch.dtype, lambda dtype: target if dtype == source else dtype, (node.args, node.kwargs)
            )
            node.meta["val"] = pytree.tree_map_only(
                Tensor, lambda item: _to_meta(item, target) if item.dtype == source else item, node.meta.get("val")
            )


def _to_meta(value: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Returns a tensor without values; its sizes may be ones that an image's values decide, which ``to`` refuses."""
    return torch.empty_strided(value.shape, value.stride(), dtype=dtype or value.dtype, device="meta")


def op_name(node: Node) -> str:
    """Returns the ATen op that a node calls, such as ``conv2d``; empty when it calls none."""
    return node.target._schema.name.removeprefix("aten::") if isinstance(node.target, torch._ops.OpOverload) else ""


def is_call(node: object, *ops: Packet) -> bool:
    """Tells whether a node calls one of the ops, in any overload."""
    return (
        isinstance(node, Node)
        and node.op == "call_function"
        and isinstance(node.target, torch._ops.OpOverload)
        and node.target.overloadpacket in ops
    )


def writes(node: Node) -> bool:
    """Tells whether a call writes into one of its arguments."""
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def is_random(node: Node) -> bool:
    """Tells whether a call may return something else each time; dropout may, whether it is active or not."""
    return isinstance(node.target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags


def arguments(node: Node) -> dict[str, Any]:
    """Returns a call's arguments by the names of its schema, defaults included."""
    assert isinstance(node.target, torch._ops.OpOverload), node  # callers match with is_call first
    values = {}
    for i, parameter in enumerate(node.target._schema.arguments):
        if i < len(node.args):
            values[parameter.name] = node.args[i]
        else:
            values[parameter.name] = node.kwargs.get(parameter.name, parameter.default_value)
    return values


def shape(node: Node) -> tuple[int, ...]:
    """Returns the shape of a node's tensor."""
    return tuple(node.meta["val"].shape)


def readers(node: Node) -> list[Node]:
    """Returns the nodes that read a node's output."""
    return list(node.users)


def module_path(node: Node) -> str:
    """Returns the path of the module that made the call, such as ``network.0.1.attn``; empty at the top."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return ""
    path, _ = list(stack.values())[-1]
    return str(path)


def as_pair(value: int | Iterable[int]) -> tuple[int, int]:
    """Returns a convolution or pooling setting as (vertical, horizontal)."""
    items = (value,) if isinstance(value, int) else tuple(value)
    return (items[0], items[-1])


def _with_plain_strides(value: Tensor) -> Tensor:
    """Returns a tensor whose strides follow from its shape, those of axes of length 1 too.

    ``contiguous`` leaves such an axis any stride, and a converter may take it for an order of the axes: XNNPACK of
    executorch 1.5.1 refuses a batched product with one, (3, 1, 16) in strides of (16, 48, 1), when it is run.
    """
    if value.stride() == torch.empty(value.shape, device="meta").stride():
        return value
    return torch.empty(value.shape, dtype=value.dtype, device=value.device).copy_(value)
