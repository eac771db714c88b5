"""Runs a graph call by call, in float64 too where an op knows no float64 or other strides stand in its way.

``view`` is refused on strides that forbid it. PyTorch's float64 kernels leave other strides than its float32 ones do
(attention on the CPU), and rewrites leave others again: such a call runs on contiguous copies, as ``reshape`` would.
An op that has no float64 kernel runs in float32, and its result is cast back.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.sample import Sample, copies_of

Observe = Callable[[Node, object], None]
Op = Callable[..., Any]
Way = Literal["as it stands", "on copies", "in float32"]

# Reads the bits of another type: float64 has others, and twice as many.
BIT_CASTS = (torch.ops.aten.view.dtype,)


class Replay(fx.Interpreter):
    """Runs a graph with the weights from a dictionary: no code is generated for one run.

    Attributes:
        on_copies: the calls that ran on contiguous copies of what they read.
        in_float32: the calls that ran in float32 and whose result was cast back, in order.
    """

    def __init__(
        self,
        graph: fx.Graph,
        weights: Mapping[str, Tensor],
        observe: Observe | None = None,
        given: Mapping[Node, Any] | None = None,
    ) -> None:
        """Takes a graph.

        Args:
            graph: whose ``get_attr`` nodes name entries of ``weights``.
            weights: by name.
            observe: is called with what each node computes.
            given: what the readers of a node are handed in place of what it computes.
        """
        super().__init__(nn.Module(), garbage_collect_values=True, graph=graph)
        self._weights = weights
        self._observe = observe
        self._given = given or {}
        self.on_copies: dict[Node, None] = {}
        self.in_float32: dict[Node, None] = {}

    def outputs(self, sample: Sample) -> list[Tensor]:
        """Returns the outputs for one input (B, C, H, W), or several, flattened to a list."""
        with torch.no_grad():
            outputs = self.run(*copies_of(sample))  # a model may write into its input
        return [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]

    def run_node(self, n: Node) -> Any:
        if n.op == "call_function" and callable(n.target):
            value, way = compute(n.target, *self.fetch_args_kwargs_from_env(n))
            if way == "on copies":
                self.on_copies[n] = None
            elif way == "in float32":
                self.in_float32[n] = None
        else:
            value = super().run_node(n)
        if self._observe and n.op == "call_function":
            self._observe(n, value)
        return self._given.get(n, value)

    def fetch_attr(self, target: str) -> Tensor:
        return self._weights[target]


def compute(op: Op, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Way]:
    """Calls an op as it stands, else on contiguous copies, else in float32.

    Returns:
        What it computes, and which of the three it was.

    Raises:
        Exception: of the op as it stands, where none of the three runs.
    """
    if op in BIT_CASTS and _has_float64((args, kwargs)):
        return _in_float32(op, args, kwargs), "in float32"
    try:
        return op(*args, **kwargs), "as it stands"
    except Exception as error:
        if not isinstance(op, torch._ops.OpOverload) or op._schema.is_mutable:  # it would write into a copy
            raise
        try:
            return _on_copies(op, args, kwargs), "on copies"
        except Exception:
            if not _has_float64((args, kwargs)):
                raise error from None
        try:
            return _in_float32(op, args, kwargs), "in float32"
        except Exception:
            raise error from None


def _on_copies(op: Op, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    copied = pytree.tree_map_only(Tensor, Tensor.contiguous, (args, dict(kwargs)))
    return op(*copied[0], **copied[1])


def _in_float32(op: Op, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    args, kwargs = _cast((args, dict(kwargs)), torch.float64, torch.float32)
    with default_dtype(torch.float32):
        return _cast(_on_copies(op, args, kwargs), torch.float32, torch.float64)


def _has_float64(values: Any) -> bool:
    leaves = pytree.tree_leaves(values)
    return any((leaf.dtype if isinstance(leaf, Tensor) else leaf) == torch.float64 for leaf in leaves)


def _cast(values: Any, source: torch.dtype, target: torch.dtype) -> Any:
    """Casts tensors of one dtype, and that dtype itself where a call names it."""
    values = pytree.tree_map_only(Tensor, lambda item: item.to(target) if item.dtype == source else item, values)
    return pytree.tree_map_only(torch.dtype, lambda item: target if item == source else item, values)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Makes calls that name no dtype, such as ``torch.zeros(1)``, take this one."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
