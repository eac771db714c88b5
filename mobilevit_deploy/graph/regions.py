"""Regions that torch.export leaves as graphs inside the graph, written into the graph around them.

::

    with torch.no_grad(): f(x), torch.autocast("cuda"), checkpoint(f, x)   ->   f(x)
    torch.cond(flag, f, g, (x,)), flag a constant                           ->   f(x)
    torch.cond(x.mean() > 0, f, g, (x,))                                    ->   where(x.mean() > 0, f(x), g(x))

What such a region changes is how gradients are computed, or nothing, or it casts to half precision, which no graph
keeps (see ``widening``): its calls are the same without it. A condition that depends on the image computes both sides,
which have no effects, for torch.cond allows none.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.graph import is_random, writes

# Higher-order ops that call one graph once, with the arguments that stand behind it.
ONCE = frozenset(
    {
        "wrap",
        "wrap_with_set_grad_enabled",
        "wrap_with_autocast",
        "tag_activation_checkpoint",
        "wrap_activation_checkpoint",
        "hints_wrapper",
        "invoke_subgraph",
        "strict_mode",
        "run_const_graph",
    }
)
PLACE = ("nn_module_stack", "stack_trace")  # keys of a node's meta that say where in the model it is


def inline_regions(module: fx.GraphModule, *, conditions: bool = True) -> None:
    """Writes every region into the graph of a module, in place.

    Args:
        module: captured.
        conditions: whether torch.cond is written out too, for which weights must be attributes of the module.
    """
    graph = module.graph
    while [node for node in list(graph.nodes) if node.op == "call_function" and _inline(module, node, conditions)]:
        pass  # what was in a region may be a region
    for node in list(graph.nodes):
        if not node.users and _body(module, node) is not None:
            graph.erase_node(node)
    graph.lint()


def _name(node: Node) -> str:
    return str(node.target) if isinstance(node.target, torch._ops.HigherOrderOperator) else ""


def _inline(module: fx.GraphModule, node: Node, conditions: bool) -> bool:
    if _name(node) in ONCE:
        results = _called_once(module, node)
    elif _name(node) == "cond" and conditions:
        results = _condition(module, node)
    else:
        return False
    if results is None:
        return False
    _replace(module.graph, node, results)
    return True


def _called_once(module: fx.GraphModule, node: Node) -> Any:
    places = [i for i, item in enumerate(node.args) if _body(module, item) is not None]
    if len(places) != 1:
        return None
    operands = [item for item in pytree.tree_leaves(node.args[places[0] + 1 :]) if not isinstance(item, str)]
    return _write(module, node.args[places[0]], operands, node)


def _condition(module: fx.GraphModule, node: Node) -> Any:
    condition, yes, no, operands = node.args
    given = pytree.tree_leaves(operands)
    known = _constant(module, condition)
    if known is not None:
        return _write(module, yes if known else no, given, node)
    sides = [_write(module, side, given, node) for side in (yes, no)]
    if any(side is None for side in sides):
        return None
    with module.graph.inserting_before(node):
        return tuple(_where(module.graph, condition, a, b, node) for a, b in zip(*sides, strict=True))


def _where(graph: fx.Graph, condition: Any, yes: Any, no: Any, like: Node) -> Any:
    if not isinstance(yes, Node):  # a number, which is the same on both sides
        return yes
    chosen = graph.call_function(torch.ops.aten.where.self, (condition, yes, no))
    chosen.meta = {key: like.meta[key] for key in PLACE if key in like.meta} | {"val": yes.meta["val"]}
    return chosen


def _body(module: fx.GraphModule, item: object) -> fx.GraphModule | None:
    """Returns the graph that an argument names, if it names one."""
    if not isinstance(item, Node) or item.op != "get_attr":
        return None
    found = operator.attrgetter(str(item.target))(module)
    return found if isinstance(found, fx.GraphModule) else None


def _write(module: fx.GraphModule, name: Any, operands: Sequence[Any], region: Node) -> Any:
    """Writes a region's calls in front of it; returns what its graph returns, or None where the operands do not fit."""
    body = _body(module, name)
    assert body is not None  # callers have looked, and torch.cond takes graphs only
    inputs = [node for node in body.graph.nodes if node.op == "placeholder"]
    if len(inputs) != len(operands):
        return None
    values: dict[Node, Any] = dict(zip(inputs, operands, strict=True))
    with module.graph.inserting_before(region):
        for node in body.graph.nodes:
            if node.op == "output":
                return fx.map_arg(node.args[0], values.__getitem__)
            if node.op == "placeholder":
                continue
            values[node] = module.graph.node_copy(node, values.__getitem__)
            if node.op == "get_attr":
                values[node].target = f"{name.target}.{node.target}"
            for key in PLACE:
                if not node.meta.get(key) and key in region.meta:
                    values[node].meta[key] = region.meta[key]
    raise AssertionError("a graph without an output")


def _replace(graph: fx.Graph, region: Node, results: Any) -> None:
    """Lets the readers of a region, or of its parts, read what was written for it."""
    for reader in list(region.users):
        if reader.target is operator.getitem:
            reader.replace_all_uses_with(results[reader.args[1]])
            graph.erase_node(reader)
    if region.users:
        region.replace_all_uses_with(results)
    graph.erase_node(region)


def _constant(module: fx.GraphModule, condition: object) -> bool | None:
    """Returns a condition that does not depend on the image; None where it does."""
    if not isinstance(condition, Node):
        return bool(condition)
    try:
        return bool(_evaluate(module, condition))
    except _Unknown:
        return None


class _Unknown(Exception):  # noqa: N818 - an answer and not an error
    pass


def _evaluate(module: fx.GraphModule, node: Node) -> Any:
    if node.op == "get_attr" and not any(writes(reader) for reader in node.users):
        value = operator.attrgetter(str(node.target))(module)
        return value.detach() if isinstance(value, Tensor) else value
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        raise _Unknown
    if writes(node) or is_random(node):
        raise _Unknown
    evaluate: Callable[[Node], Any] = lambda item: _evaluate(module, item)  # noqa: E731
    args, kwargs = fx.map_arg((node.args, node.kwargs), evaluate)
    return node.target(*args, **kwargs)
