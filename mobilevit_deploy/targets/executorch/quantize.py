"""Static int8 for XNNPACK: which layers, calibration, and the pairs of quantize and dequantize that it reads.

Weights are int8 and symmetric, with a scale per output channel; activations int8, with a scale per tensor. What is
chosen is what the rule says in ONNX's names, as far as XNNPACK has it.
Source: https://docs.pytorch.org/executorch/stable/backends/xnnpack/xnnpack-quantization.html
"""

from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.errors import ConversionError, UsageError
from mobilevit_deploy.graph.graph import arguments, is_call, module_path, op_name
from mobilevit_deploy.graph.sample import tensors_of
from mobilevit_deploy.images.batches import batches
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.executorch.quiet import quiet_executorch
from mobilevit_deploy.targets.quantization import Quantization, QuantizationResult
from mobilevit_deploy.targets.refusal import refused

aten = torch.ops.aten

# What XNNPACK's quantizer knows, by the names of a rule.
LAYERS = {"Conv": (aten.conv2d, aten.convolution), "ConvTranspose": (aten.conv_transpose2d,), "Gemm": (aten.linear,)}
OTHERS = {
    "Add": (aten.add,),
    "Mul": (aten.mul,),
    "Concat": (aten.cat,),
    "GlobalAveragePool": (aten.adaptive_avg_pool2d,),
}
NAMES = {op: name for name, ops in (LAYERS | OTHERS).items() for op in ops}
FUSED = ("relu", "relu_", "hardtanh")
ANNOTATION = "quantization_annotation"  # of PyTorch's quantizers, in a node's meta
SAME = {"MatMul": "Gemm"}  # what ONNX has two names for


def quantize(request: ConversionRequest, float32: Path | None) -> tuple[ExportedProgram, QuantizationResult]:
    """Returns the program with the chosen layers in int8, and what became of it.

    Args:
        request: with the calibration images.
        float32: a conversion of the same program, whose size is reported.

    Raises:
        ConversionError: there is nothing to quantise, or ExecuTorch refuses the graph.
        UsageError: for ``--sensitivity``.
    """
    wanted = request.quantization
    if wanted is None:
        raise ConversionError("int8 without images to choose its ranges by", "add --calibrate DIR|FILE")
    if wanted.sensitivity:
        raise UsageError(
            "--sensitivity is measured in ONNX only", "export with --to onnx to see what each module costs"
        )
    chosen: dict[Node, str] = {}
    try:
        with quiet_executorch():
            program, nodes = _quantize(request, wanted, chosen)
    except ConversionError:
        raise
    except Exception as error:
        raise refused(
            "executorch", "ExecuTorch cannot quantise the graph", error, request, ["give --precision fp32"]
        ) from error
    quantized = Counter(chosen.values())
    return program, QuantizationResult(
        source=wanted.calibration.source,
        images=len(wanted.calibration.images),
        rule=wanted.rule,
        quantized=dict(quantized.most_common()),
        left=dict((nodes - quantized).most_common()),
        bytes_before=float32.stat().st_size if float32 else 0,
    )


def _quantize(
    request: ConversionRequest, wanted: Quantization, chosen: dict[Node, str]
) -> tuple[ExportedProgram, "Counter[str]"]:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    module = request.program.module(check_guards=False)
    _give_own_weights(module)
    _keep_concatenations(module, wanted.rule)
    every = Counter(name_of(node) for node in module.graph.nodes if op_name(node))
    sizes = {name: value.numel() for name, value in module.state_dict().items()}

    def choose(node: Node) -> bool:
        """Tells whether a node becomes int8; an activation that is fused with a layer follows it."""
        if name_of(node) not in LAYERS | OTHERS:
            return node.op != "call_function" or op_name(node) in FUSED  # weights are asked about, too
        return takes(wanted.rule, node, sizes)

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(module, quantizer.set_filter_function(choose))
    chosen |= {
        node: name_of(node) for node in prepared.graph.nodes if name_of(node) in LAYERS | OTHERS and _annotated(node)
    }
    if not chosen:
        raise ConversionError(
            f"nothing to quantise: no node of {', '.join(wanted.rule.op_types)} is left by the rule",
            "give --precision fp32",
        )
    for batch, _ in batches(wanted.calibration.images, request.input.shape[0]):
        prepared(torch.from_numpy(batch))
    converted = convert_pt2e(prepared)
    _drop_unread_weights(converted)
    return torch.export.export(converted, tensors_of(request.sample), strict=False), every


def _keep_concatenations(module: GraphModule, rule: QuantizationRule) -> None:
    """Marks concatenations as looked at that a rule keeps in float32, as those of a detector's boxes.

    XNNPACK's quantizer of executorch 1.5.1 asks its filter about all operations but these.
    """
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation

    for node in module.graph.nodes:
        if is_call(node, aten.cat) and rule.keeps_float(module_path(node)):
            node.meta[ANNOTATION] = QuantizationAnnotation(_annotated=True)


def _give_own_weights(module: GraphModule) -> None:
    """Lets each layer read weights of its own, for a detector's head is shared by the maps of all levels.

    Of a weight that several layers read, XNNPACK's quantizer of executorch 1.5.1 makes int8 for the first of them
    alone; the file is written, and the runtime refuses to load it.
    """
    seen: set[str] = set()
    numbers = count(1)
    for node in list(module.graph.nodes):
        if name_of(node) not in LAYERS:
            continue
        for weight in node.all_input_nodes:
            if weight.op == "get_attr" and str(weight.target) in seen:
                node.replace_input_with(weight, _copied(module, weight, next(numbers)))
            elif weight.op == "get_attr":
                seen.add(str(weight.target))
    module.recompile()


def _copied(module: GraphModule, weight: Node, number: int) -> Node:
    owner, _, leaf = str(weight.target).rpartition(".")
    place, name = module.get_submodule(owner), f"{leaf}_of_reader_{number}"
    place.register_buffer(name, getattr(place, leaf).detach())
    with module.graph.inserting_before(weight):
        copy = module.graph.get_attr(f"{owner}.{name}".lstrip("."))
    copy.meta = dict(weight.meta)
    return copy


def _drop_unread_weights(module: GraphModule) -> None:
    """Removes the float32 weights beside their int8 form: ExecuTorch writes what nothing reads, too."""
    read = {str(node.target) for node in module.graph.find_nodes(op="get_attr")}
    for name in [name for name in module.state_dict() if name not in read]:
        owner, _, leaf = name.rpartition(".")
        delattr(module.get_submodule(owner), leaf)


def name_of(node: Node) -> str:
    """Returns a node's name as rules give it, or that of its ATen op."""
    return next((name for op, name in NAMES.items() if is_call(node, op)), op_name(node))


def takes(rule: QuantizationRule, node: Node, sizes: dict[str, int]) -> bool:
    """Tells whether a rule quantises a layer, or an operation between layers.

    Args:
        rule: of the family, or of the recipe.
        node: of a layer, or of an operation between layers.
        sizes: number of values of each weight.
    """
    name = name_of(node)
    if name not in {SAME.get(item, item) for item in rule.op_types} or rule.keeps_float(module_path(node)):
        return False
    if name not in LAYERS:
        return True
    weight = arguments(node)["weight"]
    return isinstance(weight, Node) and sizes.get(str(weight.target), 0) >= rule.smallest_weight


def _annotated(node: Any) -> bool:
    note = node.meta.get(ANNOTATION)
    return bool(note and note._annotated and note.input_qspec_map)
