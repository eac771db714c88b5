"""LSTM layers, which coremltools 9.0 converts from TorchScript alone: its own operation for what torch.export calls so.

::

    aten.lstm.input   ->   one mb.lstm for each layer, of both directions

Taken apart, a layer is a dozen operations for each of its steps. A GRU is taken apart all the same: MIL's has one bias,
and PyTorch's new gate is tanh(W x + b + r * (U h + c)), with another one inside of the product.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.fx import Node

from mobilevit_deploy.graph.graph import arguments, shape

ORDER = (0, 1, 3, 2)  # of the gates: PyTorch has input, forget, cell, output, and MIL the cell last


def register() -> None:
    """Tells coremltools how to convert a call; once is enough."""
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY, register_torch_op

    if _TORCH_OPS_REGISTRY.get_func("lstm.input") is None:
        register_torch_op(lstm_input, torch_alias=["lstm.input"])


def has_projections(node: Node) -> bool:
    """Tells whether an LSTM's output is projected, for which MIL has no parameters; its weights are constants."""
    given = arguments(node)
    hidden, cell = given["hx"]
    return shape(hidden) != shape(cell) or any(item.op == "call_function" for item in given["params"])


def lstm_input(context: Any, node: Any) -> None:
    """Converts ``aten.lstm.input``: (steps, batch, width), or batch first, to outputs and the last states."""
    from coremltools.converters.mil.frontend.torch.ops import _get_inputs
    from coremltools.converters.mil.mil import Builder as mb  # noqa: N813 - coremltools' own name for it

    x, states, weights, biased, layers, _, _, both, batch_first = _get_inputs(context, node, expected=9)
    directions = 2 if both.val else 1
    if batch_first.val:
        x = mb.transpose(x=x, perm=[1, 0, 2])
    count = 4 if biased.val else 2
    ends: tuple[list[Any], list[Any]] = ([], [])
    for layer in range(layers.val):
        places = range(layer * directions, (layer + 1) * directions)
        starts = [
            mb.concat(values=[mb.gather(x=state, indices=place, axis=0) for place in places], axis=-1)
            for state in states
        ]
        forward, *backward = (_parameters(weights[place * count : (place + 1) * count]) for place in places)
        own = forward | {f"{name}_back": value for item in backward for name, value in item.items()}
        direction = "bidirectional" if both.val else "forward"
        x, *last = mb.lstm(
            x=x, initial_h=starts[0], initial_c=starts[1], **own, direction=direction, output_sequence=True
        )
        for found, value in zip(ends, last, strict=True):
            found += mb.split(x=value, num_splits=2, axis=-1) if both.val else [value]
    outputs = mb.transpose(x=x, perm=[1, 0, 2]) if batch_first.val else x
    context.add((outputs, *(mb.stack(values=found, axis=0) for found in ends)), node.name)


def _parameters(weights: Sequence[Any]) -> dict[str, npt.NDArray[np.floating[Any]]]:
    """Returns MIL's parameters of a direction: two biases that are added are one."""
    product, state, *biases = [_in_order(item.val) for item in weights]
    return {"weight_ih": product, "weight_hh": state} | ({"bias": sum(biases[1:], biases[0])} if biases else {})


def _in_order(value: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    gates = np.split(value, len(ORDER))
    return np.concatenate([gates[place] for place in ORDER])
