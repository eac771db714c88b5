"""Which line of the model's own code, and which call, a converter or torch.export stumbled over."""

import re
import traceback
import warnings
from collections.abc import Iterable

from torch.export import ExportedProgram
from torch.fx import Node

from mobilevit_deploy.graph.graph import op_name
from mobilevit_deploy.loading.user_errors import own_frame

FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def user_line(trace: str) -> str:
    """Returns the last line in a stack trace that is the model's own, as ``line 7 of net.py``."""
    place = own_place(trace)
    return f"line {place[1]} of {place[0]}" if place else ""


def own_place(trace: str) -> tuple[str, int] | None:
    """Returns file and number of the last line in a stack trace that is the model's own; None where none is."""
    own = [frame for frame in FRAME.findall(trace) if own_frame(frame[0])]
    return (own[-1][0], int(own[-1][1])) if own else None


def failing_line(error: BaseException) -> str:
    """Returns the last line of the model's own code that an exception came through, or that its message names."""
    return user_line("".join(traceback.format_tb(error.__traceback__))) or user_line(str(error))


def root_cause(error: BaseException) -> str:
    """Returns the first line of the innermost error that led to this one; exporters wrap it several times."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def named_in(message: str, program: ExportedProgram) -> Node | None:
    """Returns the call of a program, or of what it is taken apart to, whose op a converter's message names."""
    # What an op is taken apart to, such as linalg_svdvals to _linalg_svd, has its line too.
    return _named_in(message, program.graph.nodes) or _named_in(message, _taken_apart(program))


def _taken_apart(program: ExportedProgram) -> Iterable[Node]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(program.run_decompositions().graph.nodes)
    except Exception:  # the refusal is what is being reported; a second failure adds nothing
        return []


def _named_in(message: str, nodes: Iterable[Node]) -> Node | None:
    """Returns the first call whose op a message names; the longest name wins, for ``add`` is in ``addmm``."""
    words = set(re.findall(r"[A-Za-z_]\w+", message))
    found = [node for node in nodes if _names(node) & words]
    return max(found, key=lambda node: len(op_name(node)), default=None)


def _names(node: Node) -> set[str]:
    """Returns the spellings of an op, as it is called and after decomposition.

    ``special_bessel_j0`` becomes ``bessel_j0``, and ``linalg_svd`` becomes ``_linalg_svd``. PyTorch's ONNX exporter
    names its own functions, such as ``aten_histc``.
    """
    name = op_name(node).rpartition("::")[2]
    return {name, f"_{name}", f"aten_{name}", name.partition("_")[2]} - {""} if name else set()
