"""Small packages as coremltools writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from mobilevit_deploy.targets.coreml.mil.data_types import AnyArray
from mobilevit_deploy.targets.coreml.quiet import quiet_coreml

with quiet_coreml():
    import coremltools

__all__ = ["Of", "Route", "build", "convert", "coremltools", "largest_error", "normal", "outputs_of", "save"]

Route = Literal["export", "trace"]


def build(body: Callable[..., Any], shape: tuple[int, ...], ios: int, precision: str = "fp32", **options: Any) -> Any:
    """Returns the model of a program that coremltools' builder makes from one input ``x``."""
    from coremltools.converters.mil.mil import Builder

    target = getattr(coremltools.target, f"iOS{ios}")
    with quiet_coreml():
        program = Builder.program(input_specs=[Builder.TensorSpec(shape=shape)], opset_version=target)(body)
        return coremltools.convert(program, **_options(ios, precision), **options)


def convert(
    module: nn.Module, x: Tensor, route: Route = "export", ios: int = 17, precision: str = "fp32", **options: Any
) -> Any:
    """Returns the model of a PyTorch module, by one of the two routes into coremltools."""
    module = module.eval()
    options.setdefault("inputs", [coremltools.TensorType(name="x", shape=tuple(x.shape), dtype=np.float32)])
    with quiet_coreml(), torch.no_grad():
        program = (
            torch.export.export(module, (x,)).run_decompositions({})
            if route == "export"
            else torch.jit.trace(module, x)  # type: ignore[no-untyped-call]
        )
        return coremltools.convert(program, **_options(ios, precision), **options)


def save(model: Any, folder: Path) -> Path:
    path = folder / "model.mlpackage"
    model.save(str(path))
    return path


def normal(*shape: int, seed: int = 0) -> AnyArray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


class Of(nn.Module):
    """A module of one function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def outputs_of(module: nn.Module, x: Tensor) -> list[AnyArray]:
    with torch.no_grad():
        results = module(x)
    return [result.numpy() for result in (results if isinstance(results, tuple) else (results,))]


def largest_error(found: Any, expected: list[AnyArray]) -> float:
    """Returns the largest difference over the largest expected value, over all outputs."""
    return max(
        float(np.abs(got - wanted).max() / np.abs(wanted).max()) for got, wanted in zip(found, expected, strict=True)
    )


def _options(ios: int, precision: str) -> dict[str, Any]:
    return {
        "convert_to": "mlprogram",
        "minimum_deployment_target": getattr(coremltools.target, f"iOS{ios}"),
        "compute_precision": {"fp32": coremltools.precision.FLOAT32, "fp16": coremltools.precision.FLOAT16}[precision],
        "skip_model_load": True,
    }
