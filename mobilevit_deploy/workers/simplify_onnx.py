"""Simplifies an ONNX file with onnxsim: reads the paths of input and output, a line each, on standard input.

A process of its own, because onnxsim is native code that has crashed and hung on users' models
(onnxsim issues 187, 206, 231); here that costs the simplification and not the export.
"""

import sys


def main() -> int:
    """Writes the simplified model; returns 1 when onnxsim's own check finds that it computes something else."""
    # Some versions import torch for bridges that are not used here: 1.3 s and 180 MB (measured, 0.8.1).
    sys.modules["torch"] = None  # type: ignore[assignment]
    import onnx
    import onnxsim

    source, destination = (line.rstrip("\n") for line in sys.stdin)  # the imports are done while the parent exports
    simplified, same = onnxsim.simplify(source, check_n=1)
    if not same:
        return 1
    onnx.save(simplified, destination)
    return 0


if __name__ == "__main__":
    sys.exit(main())
