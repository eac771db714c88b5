"""What ONNX Runtime's graph optimisations are known to make wrong, and how a file is written so that they do not.

One table: the optimiser by the name that ``disabled_optimizers`` of a session takes, the releases in which it was seen,
and an equal spelling that the optimiser does not match. Each was seen by running a file with its optimisations on
beside the same file with them off; ``tests/targets/onnx/test_faults.py`` holds them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.helper import get_node_attr_value


@dataclass(frozen=True)
class Fault:
    """An optimiser that changes a result.

    Attributes:
        optimizer: its name in ONNX Runtime.
        seen_in: the releases in which it was seen.
        message: what it does, as the end of a sentence that begins with its name.
        avoid: writes a model so that it does not apply; returns how often.
    """

    optimizer: str
    seen_in: tuple[str, ...]
    message: str
    avoid: Callable[[onnx.ModelProto], int]


def avoid_faults(model: onnx.ModelProto) -> dict[str, int]:
    """Writes a model so that no known fault applies to it; returns how often each would have, by optimiser."""
    found = {fault.optimizer: fault.avoid(model) for fault in FAULTS}
    return {name: count for name, count in found.items() if count}


def _name_padded_axes(model: onnx.ModelProto) -> int:
    """Names the axes of each zero padding in front of a MaxPool, which ``Pad_Fusion`` then leaves alone.

    The pool pads with minus infinity and not with zeros, so a window at the border whose values are all negative
    would have one of them for its maximum. ``Pad_Fusion`` takes no Pad with four inputs (pad_fusion.cc).
    """
    graph = model.graph
    constants = {item.name: item for item in graph.initializer}
    names: dict[int, str] = {}
    count = 0
    for node in _pads_of_pools(graph):
        pads = constants.get(node.input[1])
        if pads is None or len(node.input) > 3:  # computed, or named already: left alone by the optimiser
            continue
        rank = len(numpy_helper.to_array(pads)) // 2
        if rank not in names:
            names[rank] = _unused_name(model, f"axes_of_rank_{rank}")
            graph.initializer.append(numpy_helper.from_array(np.arange(rank, dtype=np.int64), names[rank]))
        node.input.extend([""] * (3 - len(node.input)))
        node.input.append(names[rank])
        count += 1
    return count


def _pads_of_pools(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    pooled = {node.input[0] for node in graph.node if node.op_type == "MaxPool"}
    for node in graph.node:
        if node.op_type == "Pad" and node.output[0] in pooled and _mode(node) == "constant":
            yield node


def _mode(node: onnx.NodeProto) -> str:
    given = any(attribute.name == "mode" for attribute in node.attribute)
    mode: bytes = get_node_attr_value(node, "mode") if given else b"constant"
    return mode.decode()


def _unused_name(model: onnx.ModelProto, name: str) -> str:
    taken = {item.name for item in model.graph.initializer} | {out for node in model.graph.node for out in node.output}
    while name in taken:
        name += "_"
    return name


FAULTS = (
    Fault(
        "Pad_Fusion",
        ("1.31",),
        "gives a MaxPool the zeros that stand in front of it, and pads it with minus infinity in their place",
        _name_padded_axes,
    ),
)
