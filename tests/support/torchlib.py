"""The tables of operations that PyTorch's exporters make for every export, made once in a process."""

import functools
from typing import Any


def remember() -> None:
    """Keeps what each export makes anew and finds the same: half of the time of a small network's (measured)."""
    from torch._export import utils
    from torch.onnx._internal.exporter._registration import (  # type: ignore[attr-defined]
        ONNXRegistry,
        onnxscript_apis,
    )

    onnxscript_apis.get_torchlib_ops = functools.cache(onnxscript_apis.get_torchlib_ops)
    ONNXRegistry.from_torchlib = staticmethod(_copied(ONNXRegistry.from_torchlib))  # type: ignore[method-assign]
    utils._materialize_cpp_cia_ops = _unless_known(utils._materialize_cpp_cia_ops)


def _copied(make: Any) -> Any:
    """Returns a function that makes a registry of each opset once, and gives copies: who has one may add to it."""
    make = functools.cache(make)

    def from_torchlib(*given: Any, **named: Any) -> Any:
        kept = make(*given, **named)
        registry = type(kept)()
        registry.__dict__.update(vars(kept), functions={name: list(found) for name, found in kept.functions.items()})
        return registry

    return from_torchlib


def _unless_known(look_up: Any) -> Any:
    """Returns a function that looks up every registered operation, unless no other one was registered since."""
    import torch

    known: list[str] = []

    def look_up_new() -> None:
        found = torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd")
        if found != known:
            look_up()
            known[:] = found

    return look_up_new
