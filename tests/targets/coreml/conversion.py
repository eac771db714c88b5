"""A module through our export path, up to the evaluated Core ML package, beside PyTorch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.rewrites.order import chosen_rewrites
from mobilevit_deploy.rewrites.rewrite import rewrite_graph
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.coreml import convert as coreml
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.coreml.lowering import takes
from tests.rewrites.conftest import Of, randomise

# Of the largest value: some roundings of float32, and less than what an epsilon of 1e-5 beside 1 costs, 5e-6.
LIMIT = 1e-6

Function = Callable[[Tensor], Any]


def error_of(module: nn.Module | Function, folder: Path, rewrite: bool) -> float:
    """Returns the largest difference over the largest value that PyTorch computes; infinite for another shape."""
    if not isinstance(module, nn.Module):
        module = Of(lambda m, x, function=module: function(x))
    randomise(module)
    x = torch.randn(1, 4, 8, 9, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        results = module.eval()(x.clone())
    captured = capture(module, x, "classify")
    graph = captured.graph
    if rewrite:
        graph = rewrite_graph(graph, chosen_rewrites(catalog.recipe("coreml"), takes), x).graph
    program = recapture(graph, x)
    request = ConversionRequest(program, x, captured.input, captured.outputs, "fp32", 16, {}, folder / "ops.mlpackage")
    found = MilRunner(coreml.convert(request).path).run(x.numpy())
    expected = [item.float().numpy() for item in (results if isinstance(results, tuple) else (results,))]
    return max(_difference(got, wanted) for got, wanted in zip(found, expected, strict=True))


def _difference(found: "np.ndarray[Any, Any]", expected: "np.ndarray[Any, Any]") -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max() / np.abs(expected).max())
