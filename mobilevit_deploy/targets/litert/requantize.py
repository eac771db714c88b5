"""In the child: a float32 file in another precision, by Google's quantizer, operator by operator.

Weights are symmetric, with a scale per output channel; activations int8, with a scale and a zero point per tensor.
Source: ai-edge-quantizer 0.10.0, recipe.py and quantizer.py
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools.flatbuffer_utils import read_model_from_bytearray
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.calibrator import CalibrationMode, Calibrator
from ai_edge_quantizer.qtyping import (
    ComputePrecision,
    OpQuantizationConfig,
    TensorDataType,
    TensorQuantizationConfig,
    TFLOperationName,
)
from ai_edge_quantizer.quantizer import Quantizer
from ai_edge_quantizer.recipe_manager import RecipeManager

from mobilevit_deploy.targets.litert.tflite.program import IDENTIFIER

EVERYWHERE = ".*"
ALIGNMENT = 16  # bytes, of what a buffer holds


def store_weights(path: str, destination: str, bits: int, kept: Sequence[str]) -> None:
    """Writes a file whose weights are half precision (16) or int8 (8), and are computed with as float32.

    Args:
        path: of the float32 file.
        destination: of the other.
        bits: of a weight.
        kept: names of the tensors that operators write whose weights stay as they are.
    """
    recipes = RecipeManager()
    if bits == 16:
        config = OpQuantizationConfig(
            weight_tensor_config=TensorQuantizationConfig(num_bits=bits, dtype=TensorDataType.FLOAT),
            compute_precision=ComputePrecision.FLOAT,
            explicit_dequantize=True,
        )
        recipes.add_quantization_config(EVERYWHERE, TFLOperationName.ALL_SUPPORTED, config, AlgorithmName.FLOAT_CASTING)
    else:
        recipes.add_weight_only_config(EVERYWHERE, TFLOperationName.ALL_SUPPORTED, bits)
    if kept:
        nothing = AlgorithmName.NO_QUANTIZE
        recipes.add_quantization_config(_scope(kept), TFLOperationName.ALL_SUPPORTED, algorithm_key=nothing)
    quantizer = Quantizer(path, recipes.get_quantization_recipe())
    _write(quantizer, None, destination)


def _scope(names: Sequence[str]) -> str:
    """Returns a pattern of operators: their scope is the names of what they write, each with a semicolon behind it."""
    return f"^(?:{'|'.join(map(re.escape, names))});*$"


def quantize(path: str, destination: str, chosen: Mapping[str, Sequence[str]], images: str, *, borders: bool) -> None:
    """Writes a file in which some operators compute in int8.

    Args:
        path: of the float32 file.
        destination: of the other.
        chosen: by the kind of an operator, the names of the tensors that those of this kind write.
        images: file with an array of batches, (N, B, C, H, W), by which ranges are chosen.
        borders: whether its inputs and outputs are int8 too; else they stay float32.
    """
    recipes = RecipeManager()
    for kind, names in chosen.items():
        recipes.add_static_config(_scope(names), TFLOperationName(kind), 8, 8)
    for border in (TFLOperationName.INPUT, TFLOperationName.OUTPUT) if borders else ():
        recipes.add_static_config(EVERYWHERE, border, 8, 8)
    quantizer = Quantizer(path, recipes.get_quantization_recipe())
    calibrator = Calibrator(
        path, num_threads=1, mode=CalibrationMode.CALIBRATION_PRESERVE_ALL_TENSORS, qsv_update_func=_widen
    )
    calibrator.calibrate(_feeds(path, np.load(images)), recipes)
    _write(quantizer, calibrator.get_model_qsvs(), destination)


def _feeds(path: str, batches: Any) -> dict[str, list[dict[str, Any]]]:
    """Returns the inputs of every run by the name of the signature."""
    model = Interpreter(path)
    ((signature, names),) = model.get_signature_list().items()
    (name,), (details,) = names["inputs"], model.get_input_details()
    return {signature: [{name: batch.astype(details["dtype"])} for batch in batches]}


def _widen(before: Mapping[str, Any], now: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a range that holds all that was seen; the quantizer's own is a moving average of the images' ranges."""
    if not before:
        return now
    return {"min": np.minimum(before["min"], now["min"]), "max": np.maximum(before["max"], now["max"])}


def _write(quantizer: Quantizer, ranges: Any, destination: str) -> None:
    result = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    assert result.quantized_model is not None  # of a recipe that is not empty
    Path(destination).write_bytes(_pack(result.quantized_model))


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Puts bytes where the schema wants a weight: its classes for Python do not keep ``force_align``."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803 - the names are its own
        return int(super().StartVector(elemSize, numElems, ALIGNMENT if elemSize == 1 else alignment))


def _pack(content: bytes | bytearray) -> bytes:
    """Returns a file with its weights inside of the FlatBuffer; the quantizer puts more than 256 kB behind it."""
    builder = _Builder(len(content))
    builder.Finish(read_model_from_bytearray(content).Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())
