"""Half precision that a model's own code asks for, computed in float32 all the same.

::

    with torch.autocast("cpu", dtype=torch.bfloat16): f(x)   ->   f(x)
    g(x.half()).float()                                      ->   g(x)

In training these save time and memory. A file has a precision of its own, which the target's recipe or ``--precision``
chooses, and what no runtime has, as bfloat16 in Core ML, would cost the export. So a model is captured, and run as the
reference, without them: what is proved is then exact, and what half precision costs is measured apart.
"""

import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from mobilevit_deploy.errors import CaptureError
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.source_lines import user_line
from mobilevit_deploy.graph.untraceable import at
from mobilevit_deploy.loading.user_errors import own_frame

HALF = (torch.float16, torch.bfloat16)
METHODS = {Tensor.half: torch.float16, Tensor.bfloat16: torch.bfloat16, Tensor.float: torch.float32}
BITS = (Tensor.view,)  # which reads the bits of a value as another type


class Widened(TorchFunctionMode):
    """Lets code that names half precision, or float32, have the dtype that everything else is computed in.

    Attributes:
        asked: the half-precision types that were asked for, and the first line of the model's own that did.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        """Takes the dtype: float32, or float64."""
        super().__init__()
        self._dtype = dtype
        self.asked: dict[torch.dtype, str] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in METHODS or self._concerns(args) or self._concerns(kwargs.values()):
            args, kwargs = pytree.tree_map_only(Tensor, self._widen_tensor, (args, kwargs))
            if func in METHODS:
                return args[0].to(self._widen(METHODS[func]), **kwargs)
            if func not in BITS:
                args, kwargs = pytree.tree_map_only(torch.dtype, self._widen, (args, kwargs))
        if not torch.is_autocast_enabled("cpu"):
            return func(*args, **kwargs)
        self._widen(torch.get_autocast_dtype("cpu"))
        torch.set_autocast_enabled("cpu", False)  # the type's own switch, of which torch.export sees nothing
        try:
            return func(*args, **kwargs)
        finally:
            torch.set_autocast_enabled("cpu", True)

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns what was asked for, for the user."""
        if not self.asked:
            return ()
        asked = " and ".join(
            f"{str(dtype).removeprefix('torch.')}{line and f' ({line})'}" for dtype, line in self.asked.items()
        )
        return (
            f"the model's code asks for {asked}, as in training: it is exported and compared in float32; "
            "the target's precision is what --precision says",
        )

    def _concerns(self, values: Iterable[Any]) -> bool:
        """Tells whether arguments have or name a dtype that is changed; a capture makes 50 000 calls that do not."""
        for value in values:
            if isinstance(value, Tensor):
                found = value.dtype in HALF
            elif isinstance(value, torch.dtype):
                found = value in HALF or (value is torch.float32 and self._dtype is not torch.float32)
            elif isinstance(value, list | tuple | dict):
                found = self._concerns(value.values() if isinstance(value, dict) else value)
            else:
                continue
            if found:
                return True
        return False

    def _widen(self, named: torch.dtype) -> torch.dtype:
        if named in HALF and named not in self.asked:
            self.asked[named] = _calling_line()
        return self._dtype if named in HALF or named == torch.float32 else named

    def _widen_tensor(self, value: Tensor) -> Tensor:
        """Returns a tensor that was made in half precision before the model ran, such as a table of constants."""
        return value.to(self._dtype) if value.dtype in HALF else value


def refuse_half(graph: Graph, ran: Widened, traced: Widened) -> None:
    """Raises CaptureError for code that computes in half precision all the same, or reads the bits of it.

    Args:
        graph: as captured.
        ran: what was asked for when the model ran.
        traced: what was asked for when it was captured, of which compiled code shows more.
    """
    asked = ran.asked | traced.asked
    compiled = next((line for dtype, line in traced.asked.items() if dtype not in ran.asked), None)
    for node in graph.nodes:
        line = user_line(node.meta.get("stack_trace") or "")
        if asked and node.target is torch.ops.aten.view.dtype:
            raise CaptureError(
                f"the model reads the bits of a value{at(line)}, and asks for half precision, where mvd takes float32",
                "let it compute in float32, without .half(), .bfloat16() and autocast",
            )
        values = pytree.tree_leaves(node.meta.get("val")) if node.op == "call_function" else ()
        if compiled is None and any(isinstance(value, Tensor) and value.dtype in HALF for value in values):
            compiled = line
    if compiled is not None:
        raise CaptureError(
            f"compiled code of the model computes in half precision{at(compiled)}, and cannot be told to use float32",
            "give the plain Python module or function that the TorchScript one was made from",
        )


def _calling_line() -> str:
    """Returns the innermost line of the model's own code that is being run; empty where there is none."""
    frame = sys._getframe()
    while frame is not None and not own_frame(frame.f_code.co_filename):
        frame = frame.f_back  # type: ignore[assignment]
    return "" if frame is None else f"line {frame.f_lineno} of {frame.f_code.co_filename}"
