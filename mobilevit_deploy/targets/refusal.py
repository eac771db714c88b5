"""A converter's refusal as an error for the user: which operation, where in the model, and the two nearest ways out.

::

    PyTorch's ONNX exporter refused the graph: No ONNX function found for <OpOverload(op='aten.special_bessel_j0', ...
    (in 1, line 6 of net.py)
    end the model in front of it: return 1x4x6x6, and compute the last operation in the app, or ...

The ways out are computed: other targets are asked what they take, and the graph tells what lies in front of the
operation and behind it. What to write in its place stands in ``graph/alternatives.toml``.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.formats import format_of, installed_targets
from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.graph.alternatives import alternatives_of, nearest
from mobilevit_deploy.graph.graph import Graph, module_path, op_name
from mobilevit_deploy.graph.source_lines import named_in, root_cause, user_line
from mobilevit_deploy.rewrites.compatibility.decompose_unsupported import takes_all
from mobilevit_deploy.rewrites.decomposition import isolate
from mobilevit_deploy.rewrites.order import chosen_rewrites
from mobilevit_deploy.rewrites.rewrite import Rewrite
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.registry import takes_of

OTHERWISE = "write that line with other operations"
WHOLE_REPORT = "MVD_DEBUG=1 shows the converter's whole report"
NEAR = 8  # operations at an end of the model that an app may as well compute, before one changes the format


def refused(
    target: str, said: str, cause: BaseException | str, request: ConversionRequest, first: Sequence[str] = ()
) -> ConversionError:
    """Returns the error for a graph that a target's converter does not take.

    Args:
        target: its name.
        said: who refused what.
        cause: what the converter raised, or a text that names the operation.
        request: what the converter was given.
        first: ways out that only this target knows, nearer than others.
    """
    text = cause if isinstance(cause, str) else root_cause(cause)
    node = named_in(text, request.program) or _at_work(cause, request.program) or _lacking(target, request.program)
    if node is None:
        calls = _calls(request.program)
        ways = _others(lambda name: all(map(takes_of(name), calls)), "all of it", target, request)
        return ConversionError(f"{said}: {text}", hint_of(chain(first, ways)))
    return ConversionError(f"{said}: {describe(text, node)}", hint_of(chain(first, ways_out(node, target, request))))


def describe(text: str, node: Node) -> str:
    """Returns what a converter said with the operation, and the module and the line that it is from."""
    name = op_name(node)
    places = [
        "" if name.rpartition("::")[2].strip("_") in text else f"from {name}",
        f"in {module_path(node)}" if module_path(node) else "",
        user_line(node.meta.get("stack_trace") or ""),
    ]
    where = ", ".join(filter(None, places))
    return f"{text} ({where})" if where else text


def hint_of(ways: Iterable[str]) -> str:
    """Returns the next step: the two nearest of the ways out."""
    return f"{nearest(chain(ways, [OTHERWISE]))}; {WHOLE_REPORT}"


def ways_out(node: Node, target: str, request: ConversionRequest) -> Iterator[str]:
    """Yields what a user can do about an operation that a target refuses, the nearest first; each is found as asked.

    Args:
        node: the operation, in the program or in what that is decomposed to.
        target: that refuses it.
        request: what its converter was given.
    """
    if not takes_of(target)(node) and _has_form(node, target):
        yield "leave --no-rewrite out, or take a recipe with decompose_unsupported"
    yield from alternatives_of(op_name(node))
    yield from _without_outputs(node, request)
    count, end = min(_ends(node, request))
    if count <= NEAR:
        yield end
    yield from _others(lambda name: _has_form(node, name), "it", target, request)
    if count > NEAR:
        yield end


def _at_work(cause: BaseException | str, program: ExportedProgram) -> Node | None:
    """Returns the call that a converter was at when it raised, as its own frames tell: an assertion says nothing."""
    calls = {node.name: node for node in _calls(program)}
    found = None
    error = None if isinstance(cause, str) else cause
    while error is not None:
        frame = error.__traceback__
        while frame is not None:
            name = getattr(frame.tb_frame.f_locals.get("node"), "name", None)
            found = calls.get(name, found) if isinstance(name, str) else found
            frame = frame.tb_next
        error = error.__cause__ or error.__context__
    return found


def _lacking(target: str, program: ExportedProgram) -> Node | None:
    """Returns the first call that a target says it does not take."""
    takes = takes_of(target)
    return next((node for node in _calls(program) if not takes(node)), None)


def _calls(program: ExportedProgram) -> list[Node]:
    return [node for node in program.graph.nodes if op_name(node)]


def _has_form(node: Node, target: str) -> bool:
    """Tells whether a target takes a call, or what the rewrites of its recipe make of it."""
    takes = takes_of(target)
    alone = isolate(Graph(node.graph, {}), node)
    for rewrite in chosen_rewrites(catalog.recipe(target), takes):
        _apply(rewrite, alone)
    return all(takes(item) for item in alone.nodes if op_name(item))


def _apply(rewrite: Rewrite, graph: Graph) -> None:
    try:
        for node in rewrite.candidates(graph):
            rewrite.rewrite(graph, node)
    except Exception:  # a refusal, or a rewrite that needs what stands around a call: it is one of many
        pass
    graph.remove_dead()


def _others(takes: Callable[[str], bool], what: str, target: str, request: ConversionRequest) -> Iterator[str]:
    """Yields the other targets, of those that say what they take, that take the same."""
    for name in installed_targets():
        if name == target or takes_of(name) is takes_all:
            continue
        if request.inputs and not format_of(name).takes_several_inputs:
            continue
        if takes(name):
            yield f"give --to {name}, which takes {what}"


def _without_outputs(node: Node, request: ConversionRequest) -> list[str]:
    """Returns that outputs may be left out, where others do not need the operation."""
    found = node.graph.output_node().args[0]
    behind = _behind(node)
    if not isinstance(found, list | tuple) or len(found) != len(request.outputs):
        return []
    names = [output.name for output, item in zip(request.outputs, found, strict=True) if item in behind]
    if len(names) == len(found):
        return []
    return [f"leave out the output {' and '.join(names)}: the others do not need it"]


def _ends(node: Node, request: ConversionRequest) -> Iterator[tuple[int, str]]:
    """Yields how the model may end in front of an operation or begin behind it, and what the app computes then."""
    behind = _behind(node)
    images = set(request.program.graph_signature.user_inputs)
    varying: set[Node] = set()
    for item in node.graph.nodes:
        if item.name in images or varying.intersection(item.all_input_nodes):
            varying.add(item)
    read = dict.fromkeys(item for call in behind for item in call.all_input_nodes if item in varying - behind)
    count = sum(bool(op_name(item)) for item in behind)
    yield count, f"end the model in front of it: return {_shapes(read)}, and compute {_some('last', count)} in the app"
    front = varying - behind
    if all(reader in front or reader is node for item in front for reader in item.users):
        count = 1 + sum(bool(op_name(item)) for item in front)
        shapes = _shapes([node])
        yield (
            count,
            f"begin the model behind it: take {shapes} as input, and compute {_some('first', count)} in the app",
        )


def _behind(node: Node) -> set[Node]:
    """Returns an operation and all that depends on it, but for the output."""
    found = {node}
    for item in node.graph.nodes:
        if item.op != "output" and found.intersection(item.all_input_nodes):
            found.add(item)
    return found


def _some(which: str, count: int) -> str:
    return f"the {which} {count} operations" if count > 1 else f"the {which} operation"


def _shapes(nodes: Iterable[Node]) -> str:
    values = pytree.tree_leaves([node.meta.get("val") for node in nodes])
    shapes = ["x".join(map(str, value.shape)) or "a number" for value in values if isinstance(value, Tensor)]
    return " and ".join(shapes)
