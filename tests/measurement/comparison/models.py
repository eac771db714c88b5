"""Small ONNX files: a convolution, a global average and a linear layer."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Sizes = tuple[int | str, int | str, int | str, int | str]


def save_classifier(
    path: Path,
    shape: Sizes = (1, 3, 32, 32),
    *,
    classes: int = 5,
    scale: float = 1.0,
    layout: str = "NCHW",
    element_type: int = TensorProto.FLOAT,
    outputs: int = 1,
    softmax: bool = False,
    pixels: bool = False,
) -> Path:
    """Writes a classifier; all with the same weights compute the same for the same image, whatever their input."""
    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.standard_normal((8, 3, 3, 3)) * 0.3,
        "linear": rng.standard_normal((8, classes)) * scale,
        "mean": np.array((0.485, 0.456, 0.406)).reshape(1, 3, 1, 1) * 255,
        "std": np.array((0.229, 0.224, 0.225)).reshape(1, 3, 1, 1) * 255,
        "two": np.array(2.0),
    }
    nodes = [helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT)]
    last = "float"

    def add(kind: str, inputs: list[str], result: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [result], **attributes))
        return result

    if layout == "NHWC":
        last = add("Transpose", [last], "channels_first", perm=[0, 3, 1, 2])
    if pixels:
        last = add("Div", [add("Sub", [last, "mean"], "centred"), "std"], "normalised")
    last = add("Relu", [add("Conv", [last, "kernel"], "convolved")], "activated")
    last = add("MatMul", [add("Flatten", [add("GlobalAveragePool", [last], "pooled")], "flat"), "linear"], "logits")
    if softmax:
        last = add("Softmax", [last], "probabilities", axis=-1)
    names = [last, *(add("Mul", [last, "two"], f"more{i}") for i in range(outputs - 1))]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("image", element_type, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path
