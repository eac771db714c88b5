"""A file for ONNX Runtime's CPU provider alone: the graph as its own optimisers leave it, in its own operators."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import onnx
import onnxruntime

from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.targets.onnx.files import first_line

CPU = "onnxruntime-cpu"
STANDARD = ("", "ai.onnx")


def optimize_for_cpu(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a float32 model with the fusions that ONNX Runtime otherwise makes each time it opens the file.

    Those of its level EXTENDED. What level ALL adds depends on the processor, blocks of 8 or 16 channels, and is done
    when the file is opened. Beside the file as it was, ONNX Runtime 1.32 opened lightvit_tiny in 64 ms for 87,
    cloformer_xxs in 36 for 44, and ran both in the same time (1.00): it fuses nothing else.

    Raises:
        ConversionError: ONNX Runtime refuses the model.
    """
    with tempfile.TemporaryDirectory(prefix="mvd-runtime-") as folder:
        source, written = Path(folder) / "source.onnx", Path(folder) / "written.onnx"
        onnx.save(model, str(source))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what it logs as an error it raises as well
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(written)
        try:
            onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # it raises many kinds
            raise ConversionError(f"ONNX Runtime refuses the graph: {first_line(error)}", "leave out --for") from error
        found = onnx.load(str(written))
    used = {node.domain for node in found.graph.node} | {""}
    kept = [item for item in found.opset_import if item.domain in used]
    del found.opset_import[:]
    found.opset_import.extend(kept)
    found.ir_version = model.ir_version
    return found


def own_operators(nodes: Iterable[onnx.NodeProto]) -> list[str]:
    """Returns the operators that no standard has, each once, in alphabetical order."""
    return sorted({node.op_type for node in nodes if node.domain not in STANDARD})
