"""Simplifies an ONNX file with onnxsim: ``python -m mobilevit_deploy.workers.simplify_onnx IN OUT``.

A process of its own, because onnxsim is native code that has crashed and hung on users' models
(onnxsim issues 187, 206, 231); here that costs the simplification and not the export.
"""

import sys
from pathlib import Path


def main() -> int:
    """Writes the simplified model; returns 1 when onnxsim's own check finds that it computes something else."""
    import onnx
    import onnxsim

    source, destination = map(Path, sys.argv[1:3])
    simplified, same = onnxsim.simplify(str(source), check_n=1)
    if not same:
        return 1
    onnx.save(simplified, str(destination))
    return 0


if __name__ == "__main__":
    sys.exit(main())
