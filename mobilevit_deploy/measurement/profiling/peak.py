"""The machine's own peak: matrix products in ONNX Runtime, in the process and on the threads of the measurement."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# (M, K, N) of (M, K) x (K, N). Which is best depends on caches and on the number of threads.
SHAPES = ((256, 256, 256), (384, 384, 384), (512, 512, 512), (1024, 256, 256), (1024, 512, 1024))


def write_models(folder: Path) -> list[Path]:
    """Writes one model for each shape: a MatMul with constant weights, which ONNX Runtime packs beforehand."""
    paths = []
    for rows, inner, columns in SHAPES:
        weight = np.random.default_rng(0).standard_normal((inner, columns), dtype=np.float32)
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "weight"], ["y"])],
            "peak",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, inner])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, columns])],
            [numpy_helper.from_array(weight, "weight")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path = folder / f"peak_{rows}_{inner}_{columns}.onnx"
        onnx.save(model, str(path))
        paths.append(path)
    return paths


def best(medians_s: list[float]) -> tuple[float, tuple[int, int, int]]:
    """Returns the highest rate, in multiplications a second, and its shape, from one median time for each shape."""
    rates = [rows * inner * columns / time for (rows, inner, columns), time in zip(SHAPES, medians_s, strict=True)]
    rate = max(rates)
    return rate, SHAPES[rates.index(rate)]
