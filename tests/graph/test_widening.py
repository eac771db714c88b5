"""Half precision that a model's own code asks for is computed in float32: in the graph, and in the reference."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mobilevit_deploy.errors import CaptureError
from mobilevit_deploy.graph.capture import Captured
from mobilevit_deploy.graph.widening import HALF, Widened
from mobilevit_deploy.runners.reference import PerturbedRunner, TorchRunner
from tests.conftest import capture_model

IMAGE = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
EXACT = 1e-5  # float32's roundings in a few operations; those of bfloat16 come to 1e-3 and more


class Net(nn.Module):
    """A convolution, a table that is no buffer, and a function of them."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.conv = nn.Conv2d(3, 3, 1)
        self.table = torch.randn(1, 3, 1, 1).half()

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def autocast(m: Any, x: Tensor) -> Any:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return (m.conv(x).sin() @ x).float()


def autocast_fp16_to_the_end(m: Any, x: Tensor) -> Any:
    with torch.autocast("cpu", dtype=torch.float16):
        return m.conv(x)  # float16 as it stands


def explicit(m: Any, x: Tensor) -> Any:
    return m.conv(x).to(torch.bfloat16).sigmoid().float()


def methods(m: Any, x: Tensor) -> Any:
    return (m.conv(x).half() * m.conv(x).bfloat16()).float()


def like_a_table(m: Any, x: Tensor) -> Any:
    return (m.conv(x).to(m.table) * m.table).float()


def made(m: Any, x: Tensor) -> Any:
    return m.conv(x) * torch.linspace(0, 1, 8, dtype=torch.float16)


def for_a_half_layer(m: Any, x: Tensor) -> Any:
    return m.conv(x.to(torch.bfloat16)).float()  # loading made its weights float32


EVERY = [autocast, autocast_fp16_to_the_end, explicit, methods, like_a_table, made, for_a_half_layer]


def captured(function: Callable[[Any, Tensor], Any]) -> tuple[Net, Captured]:
    module = Net(function).eval()
    return module, capture_model(module, 1, 3, 8, 8)


@pytest.mark.parametrize("function", EVERY)
def test_graph_and_reference_are_in_float32(function: Callable[[Any, Tensor], Any]) -> None:
    module, found = captured(function)
    assert not [node for node in found.graph.nodes if node.op == "call_function" and node.meta["val"].dtype in HALF]
    (exact,) = TorchRunner(module, torch.float64).run(IMAGE)
    graph = found.graph.run(torch.from_numpy(IMAGE))[0].numpy()
    (float32,), (moved,) = TorchRunner(module).run(IMAGE), PerturbedRunner(module, 0, 2.0**-22).run(IMAGE)
    for values in (graph, float32, moved):
        assert values.dtype == np.float32
        assert np.abs(values - exact).max() <= EXACT * np.abs(exact).max()


def test_what_the_code_rounds_by_itself_is_far_beyond_that() -> None:
    x = torch.from_numpy(IMAGE)
    for function in (autocast, explicit, methods):
        module = Net(function).eval()
        with torch.no_grad():
            plain = module(x).numpy()
        (exact,) = TorchRunner(module, torch.float64).run(IMAGE)
        assert np.abs(plain - exact).max() > 50 * EXACT * np.abs(exact).max()


def test_the_line_that_asks_is_noted() -> None:
    _, found = captured(autocast)
    assert "asks for bfloat16 (line" in found.notes[0]
    assert "test_widening.py)" in found.notes[0]
    assert captured(lambda m, x: m.conv(x))[1].notes == ()


def test_autocast_is_on_again_behind_each_call() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), Widened():
        torch.ones(2) @ torch.ones(2)
        assert torch.is_autocast_enabled("cpu")


def test_compiled_code_cannot_be_told() -> None:
    def rounds(x: Tensor) -> Tensor:
        return x.to(torch.bfloat16).sin()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is, and models have it
        compiled = torch.jit.script(rounds)
        traced = torch.jit.trace(Net(explicit).eval(), torch.from_numpy(IMAGE))  # type: ignore[no-untyped-call]
    with pytest.raises(CaptureError, match=r"compiled code .* half precision \(line \d+ of .*test_widening"):
        captured(lambda m, x: compiled(m.conv(x)).float())
    with pytest.raises(CaptureError, match="compiled code"):
        capture_model(traced, 1, 3, 8, 8)


def test_bits_of_half_precision_are_refused_and_other_bits_are_not() -> None:
    with pytest.raises(CaptureError, match="reads the bits"):
        captured(lambda m, x: x.half().view(torch.int16).bitwise_and(7).float())
    _, found = captured(lambda m, x: x.view(torch.int32).bitwise_and(7).float())
    assert found.notes == ()
