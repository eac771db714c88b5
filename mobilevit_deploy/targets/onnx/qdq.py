"""Static int8 in ONNX files: which nodes, calibration, and the pairs of QuantizeLinear and DequantizeLinear.

The steps are those of onnxruntime's ``quantize_static``, taken one by one, so that one calibration serves every choice
of nodes. Weights are int8 and symmetric, with a scale per output channel; activations uint8, with a scale per tensor.
Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

import contextlib
import io
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import onnx

from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.images.batches import batches
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.targets.onnx.node_order import sort_nodes
from mobilevit_deploy.targets.quantization import ModuleCost, Quantization, QuantizationResult

WEIGHTED = ("Conv", "Gemm", "MatMul", "ConvTranspose")  # int8 pays off where one operand is a constant


def choose_nodes(model: onnx.ModelProto, rule: QuantizationRule, paths: Mapping[str, str]) -> list[onnx.NodeProto]:
    """Returns the nodes that a rule quantises.

    Args:
        model: in float32.
        rule: of the family, or of the recipe.
        paths: module paths by node name.
    """
    sizes = {item.name: prod(item.dims) for item in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.op_type in rule.op_types
        and not rule.keeps_float(paths.get(node.name, ""))
        and (node.op_type not in WEIGHTED or _weight_size(node, sizes) >= rule.smallest_weight)
    ]


def _weight_size(node: onnx.NodeProto, sizes: Mapping[str, int]) -> int:
    """Returns how many values a constant operand has; -1 for a product of two activations, which stays in float."""
    return max((sizes[name] for name in node.input[:2] if name in sizes), default=-1)


def calibrate(path: Path, images: Array) -> Any:
    """Returns the ranges of all activations over the images, from the least to the largest value.

    Raises:
        ConversionError: ONNX Runtime does not run the graph.
    """
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, create_calibrator

    value = onnx.load(path, load_external_data=False).graph.input[0]
    batch = value.type.tensor_type.shape.dim[0].dim_value

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._parts = batches(images, batch)

        def get_next(self) -> dict[str, Array] | None:
            part = next(self._parts, None)
            return None if part is None else {value.name: part[0]}

    with tempfile.TemporaryDirectory(prefix="mvd-calibration-") as folder, _quiet():
        try:
            augmented = str(Path(folder) / "augmented.onnx")
            calibrator = create_calibrator(
                path, None, augmented_model_path=augmented, calibrate_method=CalibrationMethod.MinMax
            )
            calibrator.collect_data(Reader())
            return calibrator.compute_data()
        except Exception as error:
            raise ConversionError(f"ONNX Runtime cannot calibrate the graph: {_first_line(error)}") from error


def insert_pairs(path: Path, ranges: Any, names: Sequence[str], rule: QuantizationRule) -> onnx.ModelProto:
    """Returns a file's model with the named nodes in int8.

    Args:
        path: of the float32 file.
        ranges: from ``calibrate``.
        names: of the nodes.
        rule: that they were chosen by.

    Raises:
        ConversionError: onnxruntime refuses the graph.
    """
    from onnxruntime.quantization import QDQQuantizer, QuantType
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

    with _quiet():
        try:
            quantizer = QDQQuantizer(
                load_model_with_shape_infer(path),
                per_channel=True,
                reduce_range=False,
                weight_qType=QuantType.QInt8,
                activation_qType=QuantType.QUInt8,
                tensors_range=ranges,
                nodes_to_quantize=list(names),
                nodes_to_exclude=[],
                op_types_to_quantize=list(rule.op_types),
                extra_options={
                    # A Relu that rounding to uint8 does anyway stays visible: verifying takes the rounding out, and
                    # ONNX Runtime drops the Relu when it opens the file.
                    "QDQKeepRemovableActivations": True,
                    "OpTypesToExcludeOutputQuantization": list(rule.float_results),
                },
            )
            quantizer.quantize_model()
        except Exception as error:
            raise ConversionError(
                f"onnxruntime cannot quantise the graph: {_first_line(error)}", "--precision fp32 has no such limit"
            ) from error
    model: onnx.ModelProto = quantizer.model.model
    sort_nodes(model.graph)
    return model


def account(
    model: onnx.ModelProto,
    chosen: Sequence[onnx.NodeProto],
    wanted: Quantization,
    bytes_before: int,
    sensitivity: tuple[ModuleCost, ...],
) -> QuantizationResult:
    """Counts what a rule chose of a float32 model."""
    every = Counter(node.op_type for node in model.graph.node)
    quantized = Counter(node.op_type for node in chosen)
    return QuantizationResult(
        source=wanted.calibration.source,
        images=len(wanted.calibration.images),
        rule=wanted.rule,
        quantized=dict(quantized.most_common()),
        left=dict((every - quantized).most_common()),
        bytes_before=bytes_before,
        sensitivity=sensitivity,
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps onnxruntime's advice to run its own preprocessing from the user: the graph is simplified already."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
