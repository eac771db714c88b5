"""What coremltools 9.0 is known to convert to something else without a word, and what is done about it.

Two tables: calls that are refused, for each of which there is a rewrite or another spelling, and passes of coremltools
that are left out, always or for some programs. Each fault was seen by evaluating the converted file beside PyTorch;
``tests/targets/coreml/test_faults.py`` holds them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.graph.graph import Packet, arguments, is_call, module_path
from mobilevit_deploy.graph.source_lines import user_line
from mobilevit_deploy.rewrites.compatibility.replace_alpha import has_alpha
from mobilevit_deploy.rewrites.compatibility.replace_ceil_mode import POOLS, drops_unpadded_window
from mobilevit_deploy.rewrites.compatibility.replace_clamp import has_two_tensors
from mobilevit_deploy.rewrites.compatibility.replace_instance_norm import has_running_statistics
from mobilevit_deploy.rewrites.compatibility.replace_interpolation import has_inexact_scale
from mobilevit_deploy.rewrites.compatibility.replace_softplus import has_low_threshold
from mobilevit_deploy.rewrites.compatibility.replace_variance import leaves_correction_open

aten = torch.ops.aten

SMALL_INTEGERS = (torch.uint8, torch.int8, torch.int16)


def _always(_: Node | ExportedProgram) -> bool:
    return True


def _is_tanh(node: Node) -> bool:
    return bool(arguments(node)["approximate"] == "tanh")


def _is_small_integer(node: Node) -> bool:
    return node.meta["val"].dtype in SMALL_INTEGERS


@dataclass(frozen=True)
class Fault:
    """Calls that coremltools converts to something else.

    Attributes:
        ops: which calls may be meant.
        is_wrong: tells whether one is.
        message: what coremltools does, as the end of a sentence that begins with its name.
        remedy: a rewrite that leaves none of them, or what to write instead.
    """

    ops: tuple[Packet, ...]
    is_wrong: Callable[[Node], bool]
    message: str
    remedy: str


FAULTS = (
    Fault((aten.gelu,), _is_tanh, "turns the tanh form of GELU into the exact one", "decompose_tanh_gelu"),
    Fault((aten.add, aten.sub, aten.rsub), has_alpha, "loses the alpha of a sum", "replace_alpha"),
    Fault((aten.clamp, aten.clip), has_two_tensors, "takes a clamp's bounds in the wrong order", "replace_clamp"),
    Fault((aten.softplus,), has_low_threshold, "loses the threshold of softplus", "replace_softplus"),
    Fault((aten.reciprocal,), _always, "adds 1e-4 to the input of a reciprocal", "replace_reciprocal"),
    Fault((aten.rsqrt,), _always, "adds 1e-12 to the input of rsqrt", "replace_reciprocal"),
    Fault(
        (aten.log_softmax, aten._log_softmax),
        _always,
        "takes the logarithm of a softmax for log_softmax, which small probabilities do not survive",
        "replace_log_softmax",
    ),
    Fault(
        (aten.atan2,),
        _always,
        "loses half a turn of atan2(0, x) where x is negative, as the angles of a Fourier transform are",
        "decompose_unsupported",
    ),
    Fault((aten.rms_norm,), _always, "scales the epsilon of an RMS norm by its input", "replace_rms_norm"),
    Fault(
        (aten.instance_norm,),
        has_running_statistics,
        "loses the running statistics of an instance norm",
        "replace_instance_norm",
    ),
    Fault((aten.var, aten.std), leaves_correction_open, "loses the correction of a variance", "replace_variance"),
    Fault((aten._upsample_bilinear2d_aa,), _always, "loses antialias", "replace_interpolation"),
    Fault(
        (aten.upsample_nearest2d,),
        has_inexact_scale,
        "takes the scale of an interpolation from its sizes",
        "replace_interpolation",
    ),
    Fault(POOLS, drops_unpadded_window, "declares one window too many for a pool in ceil mode", "replace_ceil_mode"),
    Fault(
        (aten.add, aten.sub, aten.mul),
        _is_small_integer,
        "computes integers of 8 and 16 bits in 32, where they do not wrap around",
        "cast to torch.int32 or to float before you calculate",
    ),
)


def refuse_faults(program: ExportedProgram) -> None:
    """Raises ConversionError for the first call that coremltools would convert to something else.

    Args:
        program: in functional form, as ``run_decompositions`` returns it.
    """
    for node in program.graph.nodes:
        for fault in FAULTS:
            if is_call(node, *fault.ops) and fault.is_wrong(node):
                raise ConversionError(f"coremltools {fault.message}{_where(node)}", _hint(fault.remedy))


def _where(node: Node) -> str:
    line = user_line(node.meta.get("stack_trace") or "")
    return f" (in {module_path(node) or 'the model'}{', ' if line else ''}{line})"


def _hint(remedy: str) -> str:
    return f"leave --no-rewrite out, or take a recipe with {remedy}" if " " not in remedy else remedy


def _has_grouped_deconvolution(program: ExportedProgram) -> bool:
    ops = (aten.conv_transpose1d, aten.conv_transpose2d, aten.conv_transpose3d)
    return any(arguments(node)["groups"] > 1 for node in _calls(program, *ops)) or any(
        arguments(node)["transposed"] and arguments(node)["groups"] > 1 for node in _calls(program, aten.convolution)
    )


def _subtracts_constant(program: ExportedProgram) -> bool:
    """Tells whether a difference has a side that does not depend on the image."""
    varying: set[Node] = set()
    for node in program.graph.nodes:
        if node.name in program.graph_signature.user_inputs or varying.intersection(node.all_input_nodes):
            varying.add(node)
    return any(not varying.issuperset(node.all_input_nodes) for node in _calls(program, aten.sub, aten.sub_, aten.rsub))


def _calls(program: ExportedProgram, *ops: Packet) -> Iterator[Node]:
    return (node for node in program.graph.nodes if is_call(node, *ops))


# Passes of coremltools and the programs that they spoil.
PASSES: dict[str, Callable[[ExportedProgram], bool]] = {
    # Writes a product and a sum as a batch_norm with an epsilon of 1e-5: a scale that is 5e-6 too small.
    "common::fuse_elementwise_to_batchnorm": _always,
    # Negates what is subtracted from a convolution, in its memory: wrong for whoever else reads it, the model included.
    "common::fuse_conv_bias": _subtracts_constant,
    # Takes c - x @ W for x @ W + c.
    "common::fuse_matmul_weight_bias": _subtracts_constant,
    # Scale the weights of a grouped transposed convolution in the wrong order of channels.
    "common::fuse_conv_scale": _has_grouped_deconvolution,
    "common::fuse_conv_batchnorm": _has_grouped_deconvolution,
}


@contextmanager
def spoiling_passes_left_out(program: ExportedProgram) -> Iterator[None]:
    """Keeps coremltools from running the passes that would spoil a program.

    Converting takes a pipeline of passes. Compressing, which runs all of them once more, does not: so the default is
    changed for the while.
    """
    from coremltools.converters.mil.mil.passes import pass_pipeline

    default = pass_pipeline._COMMON_PASSES
    left_out = {name for name, spoils in PASSES.items() if spoils(program)}
    pass_pipeline._COMMON_PASSES = [name for name in default if name not in left_out]
    try:
        yield
    finally:
        pass_pipeline._COMMON_PASSES = default
