"""Which ATen calls coremltools takes: those of its registry, in the forms that it converts coming from torch.export."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.fx import Node

from mobilevit_deploy.graph.axis_movement import MAX_RANK
from mobilevit_deploy.graph.graph import Packet, arguments, is_call, shape
from mobilevit_deploy.targets.coreml.quiet import quiet_coreml
from mobilevit_deploy.targets.coreml.recurrent import has_projections, register
from mobilevit_deploy.targets.lowering import (
    cuts_off,
    divides_otherwise,
    has_boolean_mask,
    has_complex,
    has_vector_weight,
    measures_the_batch,
    takes_parts,
)

aten = torch.ops.aten


def takes(node: Node) -> bool:
    """Tells whether coremltools takes a call of ATen."""
    if has_complex(node):
        return False
    if _registered(node):
        return True
    # A composite op that returns a view is always taken apart when the program is made functional; no other is.
    returns_view = any(result.alias_info is not None for result in _schema(node).returns)
    return returns_view and takes_parts(node, _registered, {})


def _registered(node: Node) -> bool:
    refused = next((is_refused for packet, is_refused in REFUSED.items() if is_call(node, packet)), None)
    if refused is not None and refused(node):
        return False
    return _registry().get_func(str(node.target.__name__)) is not None  # type: ignore[union-attr]  # an OpOverload


def _schema(node: Node) -> Any:
    assert isinstance(node.target, torch._ops.OpOverload), node  # callers ask of ATen calls
    return node.target._schema


@cache
def _registry() -> Any:
    with quiet_coreml():
        # The module of the ops fills the registry.
        from coremltools.converters.mil.frontend.torch import ops as _ops  # noqa: F401
        from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY

        register()
    return _TORCH_OPS_REGISTRY


def _is_general(node: Node) -> bool:
    """Tells whether an einsum has an ellipsis, or more than two operands, or more axes than an ML Program takes."""
    given = arguments(node)
    ranks = [len(shape(item)) for item in (node, *given["tensors"])]
    return "." in given["equation"] or len(ranks) > 3 or max(ranks) > MAX_RANK


def _returns_places(node: Node) -> bool:
    """Tells whether a pool's indices are read, or its stride left out."""
    return _has_no_stride(node) or any(reader.args[1] == 1 for reader in node.users)


def _lacks_arguments(node: Node) -> bool:
    """Tells whether a call leaves arguments out, which torch.export does with those that are as by default."""
    return len(node.args) < len(arguments(node))


def _names_no_axis(node: Node) -> bool:
    return node.target in (aten.mean.default, aten.sum.default, aten.max.default, aten.min.default)


def _overlaps(node: Node) -> bool:
    """Tells whether windows overlap, or have gaps or margins."""
    given = arguments(node)
    steps = zip(given["stride"], given["kernel_size"], strict=True)
    return any(step < size for step, size in steps) or set(given["dilation"]) != {1} or any(given["padding"])


def _has_no_stride(node: Node) -> bool:
    return not arguments(node)["stride"]


def _samples_volume(node: Node) -> bool:
    return len(shape(arguments(node)["input"])) > 4


def _writes_by_index(node: Node) -> bool:
    """Tells whether values are written otherwise than by one mask of all places."""
    given = arguments(node)
    (first, *others) = given["indices"]
    return bool(others) or first is None or first.meta["val"].dtype != torch.bool or shape(first) != shape(node)


def _divides_by_one(node: Node) -> bool:
    """Tells whether numbers of floating point are divided by 1, and rounded down."""
    return bool(node.args[1] == 1 and node.meta["val"].is_floating_point())


def _has_whole_bound(node: Node) -> bool:
    """Tells whether numbers of floating point have a whole number for their bound: coremltools asserts one type."""
    return isinstance(node.args[1], int) and node.meta["val"].is_floating_point()


def _takes_a_whole_number(node: Node) -> bool:
    """Tells whether where() has a whole number first, and others second: coremltools makes no one type of them."""
    return node.target is aten.where.ScalarSelf and isinstance(node.args[1], int)


def _shares_heads_or_masks(node: Node) -> bool:
    """Tells whether heads share keys, or a query may look at nothing, which is NaN in coremltools' form."""
    return has_boolean_mask(node) or bool(arguments(node)["enable_gqa"])


def _is_circular_or_cuts_off(node: Node) -> bool:
    return cuts_off(node) or bool(arguments(node)["mode"] == "circular")


def _changes_type(node: Node) -> bool:
    """Tells whether zeros are of another type than the tensor whose shape they have: coremltools keeps its."""
    return bool(node.meta["val"].dtype != node.all_input_nodes[0].meta["val"].dtype)


# Forms of registered ops that coremltools 9.0 refuses or gets wrong; tests/targets/coreml/test_lowering.py holds them.
REFUSED: dict[Packet, Callable[[Node], bool]] = {
    aten.affine_grid_generator: lambda _: True,  # a part of MIL's affine, which takes the sampler's other settings only
    aten.atan2: lambda _: True,  # see faults.py
    aten.avg_pool2d: divides_otherwise,
    aten.batch_norm: measures_the_batch,
    aten.constant_pad_nd: cuts_off,
    aten.einsum: _is_general,
    **dict.fromkeys((aten.clamp_min, aten.clamp_max), _has_whole_bound),
    aten.col2im: _overlaps,
    aten.floor_divide: _divides_by_one,  # is left out of a program in half precision, and with it the rounding
    aten.grid_sampler: _samples_volume,
    aten.index_put: _writes_by_index,
    aten.linear: has_vector_weight,
    aten.lstm: has_projections,
    **dict.fromkeys((aten.cosine_similarity, aten.cross, aten.hardtanh, aten.roll), _lacks_arguments),
    # Without axes of its own, and behind a transposition, coremltools' reduce_transposes fails: KeyError 'axes'.
    **dict.fromkeys((aten.mean, aten.sum, aten.max, aten.min), _names_no_axis),
    **dict.fromkeys((aten.asinh, aten.acosh), lambda _: True),  # registered, and not in MIL
    **dict.fromkeys((aten.max_pool1d, aten.max_pool2d), _has_no_stride),
    aten.max_pool2d_with_indices: _returns_places,
    aten.pad: _is_circular_or_cuts_off,
    aten.scaled_dot_product_attention: _shares_heads_or_masks,
    aten.where: _takes_a_whole_number,
    aten.zeros_like: _changes_type,
}
