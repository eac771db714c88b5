"""One call of ATen as smaller calls: PyTorch's own decompositions, and definitions where those do not do.

::

    celu(x, alpha)   ->   where(x > 0, x, alpha * (exp(x / alpha) - 1))

PyTorch has decompositions in ``torch.export.default_decompositions()`` and ``torch._decomp.decomposition_table``, and
in the kernels of its composite ops. What they lack, or write with a scatter where there is a better form, stands in
``compatibility/definitions/``, as functions of tensors. Either is traced, so both give calls of ATen.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functionalize
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.graph import Graph, op_name

Table = Mapping[Any, Callable[..., Any]]
Function = TypeVar("Function", bound=Callable[..., Any])

NOTES = ("nn_module_stack", "stack_trace", "custom")  # what a call's parts inherit from it

# A view holds for one layout of memory, that of the trace.
RESHAPES: Mapping[Any, Any] = dict.fromkeys(
    (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default), torch.ops.aten.reshape.default
)

# What tracing notes where a constant comes in.
LIFTS = (torch.ops.aten.lift_fresh.default, torch.ops.aten.lift_fresh_copy.default, torch.ops.aten.detach_.default)

_DEFINITIONS: dict[torch._ops.OpOverload, Callable[..., Any]] = {}


class Indecomposable(Exception):  # noqa: N818 - an answer and not an error
    """A call that cannot be taken apart, or not without knowing the image's values."""


def definition(*ops: torch._ops.OpOverload) -> Callable[[Function], Function]:
    """Registers a function as what takes these ops apart; it raises NotImplementedError for a form that it does not."""

    def register(function: Function) -> Function:
        _DEFINITIONS.update(dict.fromkeys(ops, function))
        return function

    return register


@cache
def pytorch_table() -> Table:
    """Returns PyTorch's decompositions by overload; those of ``torch.export`` come first."""
    return {**torch._decomp.decomposition_table, **torch.export.default_decompositions()}


def take_apart(node: Node, table: Table | None = None) -> fx.Graph:
    """Returns the calls that a call consists of, as a graph of the tensors that it reads, in their order.

    Args:
        node: a call of ATen.
        table: takes all apart that it knows, again and again, as converters do. Without one the call is taken apart
            once.

    Raises:
        Indecomposable: there is nothing smaller.
    """
    assert isinstance(node.target, torch._ops.OpOverload), node  # callers match ATen calls
    if node.target._schema.is_mutable:
        raise Indecomposable(f"{op_name(node)} writes into what it reads")
    if table is not None:
        return _trace(node.target, node.all_input_nodes, node.args, node.kwargs, table, composites=False)
    reason = f"PyTorch has nothing smaller than {op_name(node)}"
    if node.target in _DEFINITIONS:
        try:
            return _trace(_DEFINITIONS[node.target], node.all_input_nodes, node.args, node.kwargs)
        except Indecomposable as error:
            reason = f"{op_name(node)} cannot be taken apart: {error}"
    for function, composites in _ways(node.target):
        try:
            parts = _trace(function, node.all_input_nodes, node.args, node.kwargs, composites=composites)
        except Indecomposable as error:
            reason = f"{op_name(node)} cannot be taken apart: {error}"
            continue
        calls = [part for part in parts.nodes if op_name(part)]
        if [part.target for part in calls] != [node.target] and not any(map(_is_primitive, calls)):
            return parts
    raise Indecomposable(reason)


def _ways(op: torch._ops.OpOverload) -> Iterator[tuple[Callable[..., Any], bool]]:
    """Yields what of PyTorch takes an op apart once, and whether composite ops stay whole in what comes out."""
    if op in pytorch_table():
        yield pytorch_table()[op], True
    yield op, False  # below the composite ops: what their own kernels call


def _is_primitive(node: Node) -> bool:
    """Tells whether a call is one of torch._prims, which PyTorch's reference implementations end in."""
    return op_name(node).startswith("prims::")


def write(graph: Graph, function: Callable[..., Any], args: Any, settings: Any, like: Node) -> Any:
    """Adds the calls that a function of tensors makes, where the graph stands, with a node's module path and line.

    Args:
        graph: inside of its ``before``.
        function: what it returns may have any structure.
        args: its arguments, in which nodes stand for tensors.
        settings: likewise, by name.
        like: has the module path and line.

    Returns:
        What the function returns, with nodes for tensors.

    Raises:
        Indecomposable: the function raised.
    """
    inputs = list(dict.fromkeys(item for item in pytree.tree_leaves((args, settings)) if isinstance(item, Node)))
    structure: list[pytree.TreeSpec] = []

    def leaves(*given: Any, **named: Any) -> list[Any]:
        result, spec = pytree.tree_flatten(function(*given, **named))
        structure.append(spec)
        return result

    parts = _trace(leaves, inputs, args, settings)
    results = _copy_in(graph, parts, dict(zip(parts.find_nodes(op="placeholder"), inputs, strict=True)), {}, like)
    return pytree.tree_unflatten(results, structure[-1])


def _trace(
    function: Callable[..., Any],
    inputs: Sequence[Node],
    args: Any,
    settings: Any,
    table: Table | None = None,
    composites: bool = True,
) -> fx.Graph:
    """Returns the calls that a function makes; ``composites`` leaves composite ops whole."""

    def run(*tensors: Tensor) -> Any:
        values = dict(zip(inputs, tensors, strict=True))
        given = pytree.tree_map_only(Node, values.__getitem__, (args, settings))
        return function(*given[0], **given[1])

    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
            tensors = [_imitate(item.meta["val"], "cpu") for item in inputs]
            # Kernels of composite ops write into what they made; that becomes new values.
            traced = make_fx(run if composites else functionalize(run), dict(table or {}), pre_dispatch=composites)(
                *tensors
            )
    except Exception as error:  # what decompositions raise for a form that they do not take has any type
        raise Indecomposable(str(error)) from error
    traced.graph.eliminate_dead_code()
    for item in traced.graph.find_nodes(op="get_attr"):  # numbers of the function's own
        item.meta["constant"] = operator.attrgetter(str(item.target))(traced)
    graph: fx.Graph = traced.graph
    return graph


def isolate(graph: Graph, node: Node) -> Graph:
    """Returns a graph of one call, which takes what that reads; the weights among it are weights there too."""
    alone = fx.Graph()
    found: dict[Node, Node] = {}
    weights = {}
    for i, item in enumerate(node.all_input_nodes):
        value = graph.weight(item)
        if value is None:
            found[item] = alone.placeholder(f"input_{i}")
        else:
            found[item] = alone.create_node("get_attr", str(item.target))
            weights[str(item.target)] = value
        found[item].meta["val"] = item.meta["val"]
    call = alone.node_copy(node, found.__getitem__)
    if isinstance(call.meta["val"], Tensor):
        alone.output(call)
        return Graph(alone, weights)
    results = []
    for i, value in enumerate(call.meta["val"]):
        results.append(alone.call_function(operator.getitem, (call, i)))
        results[-1].meta["val"] = value
    alone.output(tuple(results))
    return Graph(alone, weights)


def put_in_place(graph: Graph, node: Node, parts: Graph | fx.Graph) -> list[Node]:
    """Puts the calls of another graph in the place of one that computes the same; returns them."""
    weights = parts.weights if isinstance(parts, Graph) else {}
    own = parts.graph if isinstance(parts, Graph) else parts
    inputs = [item for item in node.all_input_nodes if not isinstance(parts, Graph) or graph.weight(item) is None]
    read = {str(item.target): item for item in node.all_input_nodes if item.op == "get_attr"}
    found: dict[Node, Node] = dict(zip(own.find_nodes(op="placeholder"), inputs, strict=True))
    for item in own.find_nodes(op="get_attr"):
        name = str(item.target)
        if name in read and graph.weights[name] is weights.get(name):
            found[item] = read[name]
    with graph.before(node):
        results = _copy_in(graph, own, found, weights, node)
    if isinstance(results, Node):
        graph.replace(node, results)
    else:
        for reader in list(node.users):  # operator.getitem, one for each result
            graph.replace(reader, results[reader.args[1]])
    return [item for item in found.values() if not item._erased and item.op == "call_function"]


def _copy_in(graph: Graph, parts: fx.Graph, found: dict[Node, Node], weights: Mapping[str, Tensor], like: Node) -> Any:
    """Adds the calls of another graph, of whose nodes some are found already; returns its results."""
    for part in parts.nodes:
        if part.op == "get_attr" and part not in found:
            value = weights[str(part.target)] if str(part.target) in weights else part.meta["constant"]
            found[part] = graph.add_weight(f"{op_name(like)}_constant", value)
        elif part.target in LIFTS and part.args[0].op == "get_attr":
            found[part] = found[part.args[0]]
        elif part.op == "call_function":
            found[part] = _call(graph, like, part, found)
    return pytree.tree_map_only(Node, found.__getitem__, parts.output_node().args[0])


def _call(graph: Graph, node: Node, part: Node, found: Mapping[Node, Node]) -> Node:
    args, settings = pytree.tree_map_only(Node, found.__getitem__, (part.args, part.kwargs))
    target = RESHAPES.get(part.target, part.target)
    assert callable(target)  # of a call_function node
    new = graph.graph.call_function(target, args, settings)
    new.meta = {key: node.meta[key] for key in NOTES if key in node.meta}
    value = part.meta["val"] if "val" in part.meta else _value(new)
    new.meta["val"] = pytree.tree_map_only(Tensor, lambda value: _imitate(value, "meta"), value)
    return new


def _value(node: Node) -> Any:
    """Returns what a call gives, as tensors without numbers; tracing leaves it out for several results."""
    args, settings = pytree.tree_map_only(Node, lambda item: item.meta["val"], (node.args, node.kwargs))
    assert callable(node.target)  # of a call_function node
    return node.target(*args, **settings)


def _imitate(value: Tensor, device: str) -> Tensor:
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=device)
