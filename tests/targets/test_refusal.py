"""The ways out of a refusal are computed, and true: what another target is said to take, it takes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Node

from mobilevit_deploy.catalog.tensor_input import TensorInput
from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.graph.graph import op_name
from mobilevit_deploy.targets import refusal
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.refusal import hint_of, refused, ways_out
from tests.rewrites.conftest import Of
from tests.targets.coreml.conversion import LIMIT, error_of

Function = Callable[[nn.Module, Tensor], Any]


@pytest.fixture(autouse=True)
def three_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves Core AI out, whose process takes seconds to start."""
    monkeypatch.setattr(refusal, "installed_targets", lambda: ["coreml", "executorch", "onnx"])


def asked(function: Function, op: str, *inputs: TensorInput) -> tuple[Node, ConversionRequest]:
    """Returns the call of an op, and what a converter would be given."""
    x = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    captured = capture(Of(function), x, "classify")
    program = recapture(captured.graph, x)
    request = ConversionRequest(
        program, x, captured.input, captured.outputs, "fp32", None, {}, Path("none"), inputs=inputs
    )
    return next(node for node in program.graph.nodes if op_name(node) == op), request


def ways(target: str, function: Function, op: str, *inputs: TensorInput) -> list[str]:
    node, request = asked(function, op, *inputs)
    return list(ways_out(node, target, request))


def test_another_target_that_takes_it(tmp_path: Path) -> None:
    found = ways("executorch", lambda m, x: x.cumprod(2), "cumprod")
    assert [way for way in found if "--to" in way] == ["give --to coreml, which takes it"]
    assert error_of(lambda x: x.cumprod(2), tmp_path, rewrite=True) < LIMIT


def test_what_no_target_takes_is_not_said_to_be_taken() -> None:
    assert not [
        way for way in ways("onnx", lambda m, x: torch.special.bessel_j0(x), "special_bessel_j0") if "--to" in way
    ]


def test_a_target_of_one_image_is_not_proposed_for_a_model_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal, "installed_targets", lambda: ["executorch", "onnx"])
    histogram: Function = lambda m, x: torch.histc(x, 4, 0, 1)  # noqa: E731
    top: Function = lambda m, x: x.topk(2).values  # noqa: E731
    assert "give --to onnx, which takes it" in ways("coreml", histogram, "histc")
    for inputs, taken in ([], ["executorch", "onnx"]), ([TensorInput("x", (1, 4, 6, 6))], ["onnx"]):
        found = [way for way in ways("coreml", top, "topk", *inputs) if "--to" in way]
        assert found == [f"give --to {name}, which takes it" for name in taken]


def test_a_graph_that_was_not_rewritten() -> None:
    assert ways("coreml", lambda m, x: torch.addcmul(x, x, x), "addcmul")[0].startswith("leave --no-rewrite out")


def test_an_output_that_others_do_not_need() -> None:
    found = ways("onnx", lambda m, x: (x + 1, torch.special.bessel_j0(x)), "special_bessel_j0")
    assert found[0] == "leave out the output output1: the others do not need it"
    both = ways("onnx", lambda m, x: (y := torch.special.bessel_j0(x), y + 1), "special_bessel_j0")
    assert not [way for way in both if "leave out" in way]


def test_the_nearer_end_of_the_model() -> None:
    def late(_: nn.Module, x: Tensor) -> Any:
        return torch.special.bessel_j0(F.avg_pool2d(x.relu().exp(), 2)).sum((2, 3))

    def early(_: nn.Module, x: Tensor) -> Any:
        return torch.special.bessel_j0(x[:, :3]).exp().relu().sum((2, 3))

    (way, *_rest) = ways("onnx", late, "special_bessel_j0")
    assert way == "end the model in front of it: return 1x4x3x3, and compute the last 2 operations in the app"
    (way, *_rest) = ways("onnx", early, "special_bessel_j0")
    assert way == "begin the model behind it: take 1x3x6x6 as input, and compute the first 2 operations in the app"


def test_a_model_does_not_begin_behind_what_others_pass_by() -> None:
    def skips(_: nn.Module, x: Tensor) -> Any:
        return (torch.special.bessel_j0(x) + x).exp().relu().sum((2, 3))

    (way, *_rest) = ways("onnx", skips, "special_bessel_j0")
    assert way == "end the model in front of it: return 1x4x6x6, and compute the last 5 operations in the app"


def test_what_a_converter_does_not_name_is_what_its_target_does_not_take() -> None:
    _, request = asked(lambda m, x: torch.special.bessel_j0(x.exp()), "special_bessel_j0")
    error = refused("onnx", "it refused the graph", "something went wrong", request)
    assert error.message.startswith("it refused the graph: something went wrong (from special_bessel_j0, line ")
    assert str(error.hint).startswith("end the model in front of it: return 1x4x6x6, ")


@pytest.mark.parametrize(
    ("target", "said", "function", "op"),
    [
        ("onnx", "aten_histc with min == max (0.0) is not supported", lambda m, x: torch.histc(x, 4), "histc"),
        ("coreml", 'input "x" to the "resample" op must be a rank 4 tensor', lambda m, x: volume(x), "grid_sampler"),
    ],
)
def test_an_operation_that_a_converter_takes_in_another_form_alone_has_its_line(
    target: str, said: str, function: Function, op: str
) -> None:
    _, request = asked(function, op)
    error = refused(target, "it refused the graph", said, request)
    assert re.search(r"\((from grid_sampler, )?line \d+ of ", error.message)
    assert re.match("(end|begin) the model ", str(error.hint))


def volume(x: Tensor) -> Tensor:
    return F.grid_sample(x[:, :, None].repeat(1, 1, 4, 1, 1), x.new_zeros(1, 2, 2, 2, 3), align_corners=False)


def test_nothing_that_is_lacking_and_other_targets_that_take_all_of_it() -> None:
    _, request = asked(lambda m, x: x.exp(), "exp")
    error = refused("onnx", "it refused the graph", "something went wrong", request, ["give --opset 23"])
    assert error.message == "it refused the graph: something went wrong"
    assert str(error.hint).startswith("give --opset 23, or give --to coreml, which takes all of it; MVD_DEBUG=1")


def test_there_is_always_a_next_step() -> None:
    assert hint_of([]) == "write that line with other operations; MVD_DEBUG=1 shows the converter's whole report"
