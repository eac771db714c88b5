"""Converts a program in the child: Google's converter on the exported program, with its nodes' names on the tensors.

The public ``litert_torch.convert`` takes a module and captures it again, so that outputs lose their names, and its
tensors are called after Python's classes. What it does behind that is called here: the same passes in the same order.
Source: litert-torch 0.10.0, _convert/core.py
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from litert_torch import fx_infra
from litert_torch._convert import fx_passes
from litert_torch._convert.core import _run_convert_passes, generative_fx_passes
from litert_torch._convert.litert_converter import exported_programs_to_flatbuffer
from litert_torch.backend.experimental import torch_tfl
from litert_torch.backend.lowerings.registry import global_registry
from litert_torch.model import DEFAULT_SIGNATURE_NAME
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.targets.own_outputs import give_outputs_own_values

MARK = "mvd"
# Its own form of topk is a sort, which the runtime has no kernel for; a table of experiments has LiteRT's operator.
IN_PLACE = (torch.ops.aten.topk.default,)


@dataclass(frozen=True)
class _Signature:
    """How an app calls the file: what the converter asks of its own class."""

    flat_arg_names: Sequence[str]
    name: str = DEFAULT_SIGNATURE_NAME


def lowerings() -> dict[str, list[str]]:
    """Returns the calls that the converter has a form for, and those that it takes apart before, by PyTorch's names."""
    apart = [*fx_infra.decomp.pre_convert_decomp(), *fx_infra.decomp.pre_lower_decomp()]
    return {
        "calls": sorted({str(op) for op in global_registry.registered_ops if isinstance(op, torch._ops.OpOverload)}),
        "apart": sorted({str(op) for op in apart}),
    }


def convert(program: str, path: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Writes a ``.tflite`` file, float32; raises whatever Google's packages raise.

    Args:
        program: file of ``torch.export.save``.
        path: of the file.
        inputs: names of its inputs.
        outputs: names of its outputs.
    """
    for op in IN_PLACE:
        fx_infra.decomp.add_pre_lower_decomp(op, torch_tfl.decomps[op])
    with quiet_torch():
        try:
            exported = _prepared(program, _run_convert_passes)
        except Exception as error:  # of its pass that puts channels last, or of another one
            try:
                exported = _prepared(program, _passes_without_layout)
            except Exception:  # so it is not that one
                raise error from None
        _name_outputs(exported, outputs)
        content = exported_programs_to_flatbuffer([exported], [_Signature(inputs)]).to_bytes()
    Path(path).write_bytes(content)


def _prepared(program: str, passes: Callable[[ExportedProgram], ExportedProgram]) -> ExportedProgram:
    """Returns a program as the converter takes it."""
    exported = torch.export.load(program)
    give_outputs_own_values(exported)
    _mark(exported)
    exported = fx_infra.safe_run_decompositions(exported, fx_infra.decomp.pre_convert_decomp(), can_skip=False)
    return passes(exported)


def _passes_without_layout(program: ExportedProgram) -> ExportedProgram:
    """Runs the converter's passes but the one that puts channels last once for all, and not at each operation.

    That one takes a slice or a repetition whose result another order of axes has as well for one that it knows, and
    then refuses the sum of both: "Attempting to broadcast a dimension of length 4" (litert-torch 0.10.0).
    """
    program = generative_fx_passes.run_generative_passes(program)
    passes = [
        fx_passes.LowerTorchAOPass(),
        fx_passes.EliminateDeadCodePass(),
        fx_passes.CanonicalizePass(),
        fx_passes.ReduceViewRankPass(),
        fx_passes.BuildAtenCompositePass(),
        fx_passes.RemoveNonUserOutputsPass(),
        fx_passes.CastInputsBf16ToF32Pass(),
    ]
    found: ExportedProgram = fx_infra.run_passes(program, passes)
    return found


def _mark(program: ExportedProgram) -> None:
    """Puts each call's name in the place of its module: the converter names the result after that.

    Stack traces would put paths of this machine into it.
    """
    for node in program.graph.nodes:
        if node.op == "call_function":
            node.meta["nn_module_stack"] = {MARK: ("", node.name)}
            node.meta.pop("stack_trace", None)
            node.meta.pop("from_node", None)


def _name_outputs(program: ExportedProgram, names: Sequence[str]) -> None:
    """Makes the program return a mapping, whose keys the converter gives to the file's outputs."""
    spec = pytree.tree_structure(dict.fromkeys(names, 0))
    program.module_call_graph[0].signature.out_spec = spec
