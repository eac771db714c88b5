"""From a float32 file to half precision, to weights of 8 bits, or to static int8: which operators, by which images."""

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.errors import ConversionError, UsageError
from mobilevit_deploy.graph.module_notes import read_notes
from mobilevit_deploy.images.batches import batches
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.litert.child import Child
from mobilevit_deploy.targets.litert.contents import metadata_of
from mobilevit_deploy.targets.litert.tflite.program import Operator, Program, read_program
from mobilevit_deploy.targets.quantization import QuantizationResult

BITS = {"fp16": 16, "w8": 8}


def change_precision(child: Child, request: ConversionRequest, float32: Path) -> QuantizationResult | None:
    """Writes the file in the precision that was asked for; returns what became int8.

    Args:
        child: which the quantizer runs in.
        request: with the calibration images, for int8.
        float32: a conversion of the same program, with the notes of its modules.

    Raises:
        ChildError: the quantizer refused the file.
        ConversionError: there is nothing to quantise.
        UsageError: for ``--sensitivity``.
    """
    files = {"path": str(float32.resolve()), "destination": str(request.path.resolve())}
    if request.precision in BITS:
        kept = operators_in(read_program(float32), request.app.keep_fp32, float32.name)
        child.ask("store_weights", **files, bits=BITS[request.precision], kept=kept)
        return None
    wanted = request.quantization
    if wanted is None:
        raise ConversionError("int8 without images to choose its ranges by", "add --calibrate DIR|FILE")
    if wanted.sensitivity:
        raise UsageError(
            "--sensitivity is measured in ONNX only", "export with --to onnx to see what each module costs"
        )
    program = read_program(float32)
    chosen = choose(program, wanted.rule, float32.name)
    if not chosen:
        raise ConversionError(
            f"nothing to quantise: no operator of {', '.join(wanted.rule.op_types)} is left by the rule",
            "give --precision fp32",
        )
    images = np.stack([batch for batch, _ in batches(wanted.calibration.images, request.input.shape[0])])
    names = {kind: [name for name, found in chosen.items() if found == kind] for kind in chosen.values()}
    given = {"images": child.store(images, "images"), "borders": request.app.int8_io}
    child.ask("quantize", **files, chosen=names, **given)
    quantized = Counter(chosen.values())
    every = Counter(operator.kind for operator in program.subgraphs[0].operators)
    return QuantizationResult(
        source=wanted.calibration.source,
        images=len(wanted.calibration.images),
        rule=wanted.rule,
        quantized=dict(quantized.most_common()),
        left=dict((every - quantized).most_common()),
        bytes_before=float32.stat().st_size,
    )


def operators_in(program: Program, paths: Collection[str], name: str) -> list[str]:
    """Returns the names of the tensors that the operators of some modules write.

    Args:
        program: float32.
        paths: of the modules.
        name: of the file.
    """
    noted = read_notes(metadata_of(program, name)) if paths else {}
    return [tensor for tensor, path in noted.items() if path in paths]


def choose(program: Program, rule: QuantizationRule, name: str) -> dict[str, str]:
    """Returns the kind of each operator that a rule quantises, by the name of the tensor that it writes.

    Args:
        program: float32.
        rule: of the family, or of the recipe, with the names of LiteRT's operators.
        name: of the file.
    """
    modules = read_notes(metadata_of(program, name))
    graph = program.subgraphs[0]
    found = {}
    for operator in graph.operators:
        result = graph.values[operator.outputs[0]].name if operator.outputs else ""
        if operator.kind not in rule.op_types or not result or rule.keeps_float(modules.get(result, "")):
            continue
        sizes = list(_sizes_of_weights(program, operator))
        if not sizes or max(sizes) >= rule.smallest_weight:
            found[result] = operator.kind
    return found


def _sizes_of_weights(program: Program, operator: Operator) -> Iterator[int]:
    """Yields how many values each float32 constant has that an operator reads."""
    for number in operator.inputs:
        if number >= 0:
            value = program.subgraphs[0].values[number]
            if value.dtype == "float32" and len(program.data(value.buffer)):
                yield int(np.prod(value.shape))
