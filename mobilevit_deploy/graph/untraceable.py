"""Why a model has no graph, as an error for the user: which operation, at which line, and what to write instead."""

import re
from collections.abc import Iterator

import torch
from torch import SymInt, Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.errors import CaptureError
from mobilevit_deploy.graph.alternatives import alternatives_of, nearest
from mobilevit_deploy.graph.graph import op_name
from mobilevit_deploy.graph.source_lines import failing_line, user_line
from mobilevit_deploy.loading.user_errors import own_frame

TAKE_OUT = "take the line out of forward: return what it reads, and let the app do it"

# What torch.export says where no operation is at fault by its name, and the name in the table of alternatives.
SAYINGS = (
    (r"data-dependent|GuardOnDataDependent|control flow|Could not (?:guard|extract)", "item"),
    (r"\.numpy\(\)", "numpy"),
)
ASSERTION = re.compile(
    r'INTERNAL ASSERT FAILED at "?(?:[^"\s]*/)?([^"/\s]+)"?'
)  # then a path of PyTorch's, and addresses
# What else helps.
ADVICE = (
    (r"ScriptModule|ScriptFunction|jit\.", "give the plain Python module that the TorchScript one was made from"),
    (r"quantiz|__obj_flatten__", "give the float model: mvd quantises after the export"),
)


def reason_of(error: BaseException) -> str:
    """Returns an error's type and the first line of its message; of an assertion inside PyTorch, that it is one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and (found := ASSERTION.search(lines[0])):
        return f"{type(error).__name__}: an assertion inside PyTorch failed, at {found[1]}"
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def at(line: str) -> str:
    """Returns a line as the end of a message; nothing where it is not known."""
    return f" ({line})" if line else ""


def not_traced(error: Exception) -> CaptureError:
    """Returns the error for a model that ``torch.export`` does not trace."""
    op = failing_op(error)
    text = f"{type(error).__name__} {error}"
    op = op or next((name for pattern, name in SAYINGS if re.search(pattern, text)), "")
    what = f"{op}: " if op and op not in text else ""
    advice = next((advice for pattern, advice in ADVICE if re.search(pattern, text)), None)
    ways = advice or _ways(op, "write the line with plain tensor operations")
    return CaptureError(f"torch.export cannot trace the model: {what}{reason_of(error)}{at(failing_line(error))}", ways)


def not_plain(node: Node) -> CaptureError:
    """Returns the error for a call that torch.export leaves, and that is none of ATen's."""
    name = str(node.target)
    return CaptureError(
        f"torch.export leaves a call of {name} in the graph, which no target takes{_place(node)}",
        _ways(name, "write the line with plain tensor operations that return new tensors"),
    )


def of_no_size(node: Node) -> CaptureError:
    """Returns the error for an output whose size the image's values decide.

    Args:
        node: the output's.
    """
    cause = next((item for item in _sources(node, set()) if _decides_a_size(item)), node)
    return CaptureError(
        f"the size of an output depends on the image's values, by {op_name(cause)}{_place(cause)}",
        _ways(op_name(cause), "return a fixed number of values (torch.topk)"),
    )


def failing_op(error: Exception) -> str:
    """Returns the ATen op that the last of the model's own lines called, where it was one that failed."""
    frames, trace = [], error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    own = max((i for i, frame in enumerate(frames) if own_frame(frame.f_code.co_filename)), default=len(frames))
    for frame in frames[own + 1 :]:
        for value in frame.f_locals.values():
            if isinstance(value, torch._ops.OpOverload):
                return value._schema.name.removeprefix("aten::")
    return ""


def _ways(op: str, otherwise: str) -> str:
    return nearest([*(alternatives_of(op) or [otherwise]), TAKE_OUT])


def _place(node: Node) -> str:
    return at(user_line(node.meta.get("stack_trace") or ""))


def _sources(node: Node, seen: set[Node]) -> Iterator[Node]:
    """Yields what a node is computed from, the farthest first, and the node."""
    seen.add(node)
    for item in node.all_input_nodes:
        if item not in seen:
            yield from _sources(item, seen)
    yield node


def _decides_a_size(node: Node) -> bool:
    """Tells whether a call makes a size that nothing it reads has."""
    read = {symbol for item in node.all_input_nodes for symbol in _symbols(item)}
    return bool(op_name(node)) and bool(_symbols(node) - read)


def _symbols(node: Node) -> set[object]:
    from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols  # loads SymPy, which takes a second

    sizes: list[object] = []
    for value in pytree.tree_leaves(node.meta.get("val")):
        sizes += list(value.shape) if isinstance(value, Tensor) else [value] if isinstance(value, SymInt) else []
    return {symbol for size in sizes for symbol in free_unbacked_symbols(size)}
