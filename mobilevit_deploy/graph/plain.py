"""From what torch.export makes of a model to a plain graph: calls of ATen's ops that write to nothing.

Most models are captured as one. What else there is, is written out here, and only where it is: regions, calls that
write into a tensor, assertions, random numbers that nothing reads. What has no form of its own here (a slice that is
assigned, vmap) is left to PyTorch's decomposition into functional ops, which keeps module paths.
"""

import operator

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.graph import _PyTreeCodeGen
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.functional import StillRead, remove_writes, spell_fills
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.regions import inline_regions
from mobilevit_deploy.graph.untraceable import not_plain

aten = torch.ops.aten

# Of a region that changes nothing; without readers both go.
BORDERS = (torch.amp.autocast_mode._enter_autocast, torch.amp.autocast_mode._exit_autocast)


def plain_graph(program: ExportedProgram) -> Graph:
    """Returns a program's graph, with its weights.

    Raises:
        CaptureError: a call is none of ATen's, or writes into a tensor, in a way that has no other form.
    """
    inline_regions(program.graph_module, conditions=False)
    try:
        return _read(program)
    except (_NotPlain, StillRead):
        graph = _decomposed(program)
        _restore_batch_norms(graph)
        spell_fills(graph)
        return graph


class _NotPlain(Exception):  # noqa: N818 - an answer and not an error
    """A call that is none of ATen's."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.name)
        self.node = node


def _read(program: ExportedProgram) -> Graph:
    module = program.module()
    assert isinstance(module, fx.GraphModule)  # whatever the signature says
    inline_regions(module)
    _forget_types(module.graph)
    for node in module.graph.nodes:
        if node.op == "call_function" and not _is_plain(node):
            raise _NotPlain(node)
    graph = Graph.from_module(module)
    graph.unkept = remove_writes(graph)
    return graph


def _forget_types(graph: fx.Graph) -> None:
    """Lets a graph return a tuple where it returns a type that is not Python's own: a file knows none of those."""
    codegen = graph._codegen
    spec = codegen.pytree_info.out_spec if isinstance(codegen, _PyTreeCodeGen) else None
    if isinstance(codegen, _PyTreeCodeGen) and spec is not None and not _is_common(spec):
        flat = pytree.tree_structure(tuple(range(spec.num_leaves)))
        codegen.pytree_info = codegen.pytree_info._replace(out_spec=flat)


def _is_common(spec: pytree.TreeSpec) -> bool:
    return spec.type in (None, tuple, list, dict) and all(map(_is_common, spec.children()))


def _is_plain(node: Node) -> bool:
    """Tells whether a call is an op, a part of a list, arithmetic of sizes, or what goes by itself."""
    if isinstance(node.target, torch._ops.OpOverload) or node.target in BORDERS:
        return True
    return getattr(node.target, "__module__", "") in (operator.__name__, "_operator", "math", "torch")


def _decomposed(program: ExportedProgram) -> Graph:
    for node in program.graph_module.graph.find_nodes(op="call_function", target=aten.dropout.default):
        if not node.args[2]:  # it returns its input; torch's decomposition (2.13) takes it for a copy
            node.replace_all_uses_with(node.args[0])
    try:
        return _read(program.run_decompositions({}))
    except (_NotPlain, StillRead) as error:
        raise not_plain(error.node) from error


def _restore_batch_norms(graph: Graph) -> None:
    """Writes a batch norm as the model did.

    What it is decomposed to returns the statistics of the batch beside the result; they are empty in evaluation.
    """
    for node in graph.calls(aten._native_batch_norm_legit_no_training):
        readers = list(node.users)
        if all(reader.target is operator.getitem and reader.args[1] == 0 for reader in readers):
            x, weight, bias, mean, variance, momentum, epsilon = node.args
            for reader in readers:
                with graph.before(node):
                    settings = (weight, bias, mean, variance, False, momentum, epsilon, False)
                    norm = graph.call(aten.batch_norm.default, x, *settings, like=node)
                graph.replace(reader, norm)
