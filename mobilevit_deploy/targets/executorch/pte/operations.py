"""All operations of a ``.pte`` file, also those inside of its delegates, and how much of the work is delegated."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mobilevit_deploy.targets.executorch.pte.program import Plan, Value
from mobilevit_deploy.targets.executorch.pte.xnnpack import BACKEND, read_delegate
from mobilevit_deploy.targets.operations import Operation, Tensor

CONVOLUTIONS = {"Conv2d", "DepthwiseConv2d", "aten::convolution.out"}
TRANSPOSED = {"ConvTranspose2d"}
PRODUCTS = {
    "FullyConnected", "BatchMatrixMultiply", "aten::mm.out", "aten::bmm.out", "aten::addmm.out", "aten::linear.out",
}  # fmt: skip
KERNEL = "::"  # in the name of what a kernel computes, and in that of no delegate's operation


@dataclass(frozen=True)
class Shares:
    """What of a program runs in XNNPACK.

    Attributes:
        macs: share of the multiply-accumulates; 1 for a program without any.
        kernels: calls of ExecuTorch's own kernels by name.
        delegates: parts of the graph that were given to XNNPACK; each border may copy its tensors.
    """

    macs: float
    kernels: dict[str, int]
    delegates: int


def operations_of(plan: Plan) -> Iterator[Operation]:
    """Yields a method's operations in order; raises DamagedError for a delegate that cannot be read."""
    for i, call in enumerate(plan.calls):
        if call.delegate is None:
            tensors = [_tensor(value) for value in call.values if value.shape is not None]
            last = call.values[-1] in plan.outputs if call.values else False
            yield Operation(call.kernel, f"call {i}", tuple(tensors[:-1]), tuple(tensors[-1:]), last)
        elif call.delegate.backend == BACKEND:
            yield from read_delegate(call.delegate.content, f"delegate {i}")
        else:
            tensors = [_tensor(value) for value in call.values if value.shape is not None]
            yield Operation(call.delegate.backend, f"delegate {i}", tuple(tensors[:-1]), tuple(tensors[-1:]))


def shares_of(plan: Plan) -> Shares:
    """Returns what of a method is delegated."""
    operations = list(operations_of(plan))
    total = sum(map(macs, operations))
    outside = sum(macs(item) for item in operations if KERNEL in item.kind)
    kernels: dict[str, int] = {}
    for item in operations:
        if KERNEL in item.kind:
            kernels[item.kind] = kernels.get(item.kind, 0) + 1
    delegates = sum(call.delegate is not None for call in plan.calls)
    return Shares(1 - outside / total if total else 1.0, kernels, delegates)


def macs(operation: Operation) -> int:
    """Returns an operation's multiply-accumulates, by its shapes."""
    inputs, outputs = operation.inputs, operation.outputs
    if len(inputs) < 2 or not outputs:
        return 0
    if operation.kind in CONVOLUTIONS | TRANSPOSED:
        # Each of a layer's positions, of the output or, where it is transposed, of the input, meets the whole weight;
        # channels lie last in XNNPACK, and second in ATen.
        places = inputs[0] if operation.kind in TRANSPOSED else outputs[0]
        sizes = [int(size) for size in places.shape]
        return math.prod(sizes[:1] + sizes[2:] if KERNEL in operation.kind else sizes[:-1]) * inputs[1].elements
    if operation.kind in PRODUCTS:
        first = inputs[1] if operation.kind == "aten::addmm.out" else inputs[0]
        return outputs[0].elements * int(first.shape[-1] if first.shape else 1)
    return 0


def _tensor(value: Value) -> Tensor:
    return Tensor(value.shape or (), value.dtype)


def count_operations(operations: Iterable[Operation]) -> dict[str, int]:
    """Returns how often each operation stands in a program, the most frequent first."""
    found: dict[str, int] = {}
    for item in operations:
        found[item.kind] = found.get(item.kind, 0) + 1
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))
