"""Simplifies an ONNX file with onnxsim: reads the paths of input and output, a line each, on standard input.

A process of its own, because onnxsim is native code that has crashed and hung on users' models
(onnxsim issues 187, 206, 231); here that costs the simplification and not the export.
"""

import sys
from typing import Any

from mobilevit_deploy.system.parent_watch import end_with_parent

# Both files run on the same input; constant folding may round differently, 6e-8 a step, a wrong one shows far above.
LARGEST_DIFFERENCE = 1e-5

FLOATS = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}  # in NumPy's names

# Merges products of one tensor, such as queries, keys and values, into one, and cuts that: what a rewrite took apart.
SKIPPED = ["fuse_qkv"]


def main() -> int:
    """Writes the simplified model; returns 1 when it computes something else than the given one."""
    end_with_parent()
    # Some versions import torch for bridges that are not used here: 1.3 s and 180 MB (measured, 0.8.1).
    sys.modules["torch"] = None  # type: ignore[assignment]
    import onnxsim

    source, destination = (line.rstrip("\n") for line in sys.stdin)  # the imports are done while the parent exports
    onnxsim.simplify(source, output_path=destination, skipped_optimizers=SKIPPED)
    return 0 if _same(_run(source), _run(destination)) else 1


def _run(path: str) -> list[Any]:
    """Returns the outputs without ONNX Runtime's own optimisations; its session, and the memory, is gone afterwards."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    feed = {}
    for item in session.get_inputs():
        kind = FLOATS.get(item.type, item.type.removeprefix("tensor(").removesuffix(")"))
        floats = item.type in FLOATS
        # Of whole numbers 0 and 1: they may be indices of a table, of which nobody says how long it is.
        values = generator.standard_normal(item.shape) if floats else generator.integers(0, 2, item.shape)
        feed[item.name] = values.astype(kind)
    # Truth values are compared as numbers.
    return [output.astype(np.float64) for output in session.run(None, feed)]


def _same(expected: list[Any], found: list[Any]) -> bool:
    return len(expected) == len(found) and all(
        before.shape == after.shape
        and abs(before - after).max(initial=0) <= LARGEST_DIFFERENCE * abs(before).max(initial=0)
        for before, after in zip(expected, found, strict=True)
    )


if __name__ == "__main__":
    sys.exit(main())
