"""Capturing models of other hands, and what cannot be captured."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from mobilevit_deploy.errors import CaptureError
from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.graph.graph import module_path
from mobilevit_deploy.graph.untraceable import reason_of
from mobilevit_deploy.runners.reference import TorchRunner
from mobilevit_deploy.runners.rewritten_graph import GraphRunner
from tests.conftest import capture_model
from tests.research.additive_net import Branching, Dictionary, TwoInputs, build


def test_names_of_outputs() -> None:
    image = torch.zeros(1, 3, 32, 32)
    assert [o.name for o in capture(build().eval(), image, "classify").outputs] == ["logits"]
    maps = nn.Conv2d(3, 4, 1)
    assert [o.name for o in capture(maps, image, "features").outputs] == ["features"]
    assert [o.name for o in capture(maps, image, "classify").outputs] == ["output"]
    outputs = capture(Dictionary(), torch.zeros(1, 1, 8, 8), "classify").outputs
    assert [(o.name, o.shape) for o in outputs] == [("maps", (1, 4, 6, 6)), ("input_1", (1, 4))]


def test_module_paths_survive_a_second_capture() -> None:
    captured = capture_model(build(), 1, 3, 32, 32)
    program = recapture(captured.graph, torch.zeros(1, 3, 32, 32))
    paths = {module_path(node) for node in program.graph.nodes if node.op == "call_function"}
    assert {"stem.0", "body.0.gate_a.excite", "body.2.to_qkv", "head_a"} <= paths


def test_a_forward_with_two_inputs() -> None:
    with pytest.raises(CaptureError, match="does not run on an input of shape") as caught:
        capture_model(TwoInputs(), 1, 3, 8, 8)
    assert "forward takes x, y" in str(caught.value.hint)
    assert "--input x=1x3x8x8 --input y=1xN:TYPE" in str(caught.value.hint)


def test_int8_hints_at_no_option_that_it_lacks() -> None:
    with pytest.raises(CaptureError) as caught:
        capture(TwoInputs(), torch.zeros(1, 3, 8, 8), "classify", one_image=True)
    assert caught.value.hint == "forward takes x, y, and int8 one image: give a module that holds the others as buffers"


def test_an_image_of_the_wrong_size() -> None:
    with pytest.raises(CaptureError, match="does not run on an input of shape") as caught:
        capture_model(nn.Conv2d(4, 2, 1), 1, 3, 8, 8)
    assert "one image tensor" in str(caught.value.hint)


def test_control_flow_names_the_line() -> None:
    with pytest.raises(CaptureError, match=r"cannot trace.*\(line \d+ of .*additive_net\.py\)") as caught:
        capture_model(Branching(), 1, 3, 8, 8)
    assert "torch.where" in str(caught.value.hint)


def test_an_output_that_is_no_tensor() -> None:
    class Counts(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
            return x, 3

    with pytest.raises(CaptureError, match="returns Tensor, int"):
        capture_model(Counts(), 1, 3, 8, 8)


class InPlace(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = x.mul_(2).add_(1).sin()
        return changed


class Random(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn_like(x)


class Complex(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spectrum: torch.Tensor = torch.fft.fft2(x)
        return spectrum


class Infinite(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 0


class Item(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale: Callable[[torch.Tensor], float] = lambda y: float(y.mean().item())  # noqa: E731
        return x * scale(x)


class ThroughNumpy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(x.numpy() * 2)


class Mismatch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ x.flatten()


@pytest.mark.parametrize("module", [Item(), ThroughNumpy(), Mismatch(), Random()])
def test_the_line_is_named_and_nothing_else_is_printed(module: nn.Module, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CaptureError, match=r"line \d+ of .*test_capture\.py"):
        capture_model(module, 1, 3, 8, 8)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("module", "message"),
    [(Random(), "something else each time"), (Complex(), "complex numbers"), (Infinite(), "NaN or infinite")],
)
def test_what_no_artifact_could_be_compared_with(module: nn.Module, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        capture_model(module, 1, 3, 8, 8)


class Running(nn.Module):
    """Returns the mean of all images that it has seen."""

    def __init__(self, *, buffer: bool) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.layer.register_buffer("seen", torch.zeros(1, 3, 8, 8))
        if not buffer:
            del self.layer.seen
            self.layer.seen = torch.zeros(1, 3, 8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.layer.seen
        assert isinstance(seen, torch.Tensor)  # a module's type says nothing of it
        mean: torch.Tensor = self.layer(seen.add_(x)) + 0
        return mean


@pytest.mark.parametrize("buffer", [True, False])
def test_what_is_kept_from_image_to_image_is_not_told_as_random(buffer: bool) -> None:
    with pytest.raises(CaptureError, match=r"depends on the images before: it keeps layer\.seen") as caught:
        capture(Running(buffer=buffer), torch.ones(1, 3, 8, 8), "classify")
    assert "return the new one" in str(caught.value.hint)


class ReadsItsBuffers(nn.Module):
    """Reads numbers out of buffers in every way that code has; what hangs on them are sizes, factors and a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)
        self.register_buffer("keep", torch.tensor(3))
        self.register_buffer("sizes", torch.tensor([4, 16]))
        self.register_buffer("scale", torch.tensor(0.7))
        self.register_buffer("signed", torch.tensor(True))
        self.temperature = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("unread", torch.eye(2).to_sparse())  # it has no list of numbers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        keep, sizes, scale = (self.get_buffer(name) for name in ("keep", "sizes", "scale"))
        rows, columns = sizes.tolist()
        assert rows == int(sizes[0])
        y = self.layer(x).reshape(1, 4, rows, columns)[:, : int(keep)] * (scale.item() / float(self.temperature))
        y = y + [1.0, 2.0, 3.0, 4.0][keep]
        result: torch.Tensor = -y if self.get_buffer("signed") else y
        return result


def test_numbers_that_code_reads_out_of_buffers_are_those_of_the_model() -> None:
    model, x = ReadsItsBuffers().eval(), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        expected = model(x)
    assert torch.equal(capture(model, x, "classify").graph.run(x)[0], expected)
    model.get_buffer("keep").fill_(2)
    other = capture(model, x, "classify").graph.run(x)[0]
    assert other.shape == (1, 2, 4, 16), "the number of an earlier capture"


class Unsorted(nn.Module):
    """The largest of 4000 values, in no order; PyTorch has another one than ONNX Runtime."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        flat = x.flatten(1)
        return flat.topk(200, sorted=False).values, torch.topk(flat, 200, 1, False, False)[0]


def test_an_order_that_is_left_open_is_that_of_the_values() -> None:
    x = torch.randn(1, 10, 20, 20, generator=torch.Generator().manual_seed(0))
    largest, smallest = Unsorted()(x)
    captured = capture(Unsorted(), x, "classify")
    for runner in (TorchRunner(Unsorted()), GraphRunner(captured.graph)):
        found = runner.run(x.numpy())
        assert np.array_equal(found[0], largest.sort(descending=True).values.numpy())
        assert np.array_equal(found[1], smallest.sort().values.numpy())
    assert not torch.equal(largest, largest.sort(descending=True).values), "PyTorch returned them in order by itself"


class NamesOfPrograms(nn.Module):
    """Parts, a weight and a constant whose names a captured program has for something else."""

    def __init__(self) -> None:
        super().__init__()
        self.code = nn.Conv2d(3, 4, 1)
        self.graph = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())
        self.register_buffer("meta", torch.arange(4.0).view(4, 1, 1))
        self.recompile = torch.tensor(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.graph(self.code(x)) * self.meta + self.recompile
        return y


def test_names_that_a_captured_program_has_for_something_else() -> None:
    model, x = NamesOfPrograms(), torch.randn(1, 3, 8, 8)
    captured = capture(model, x, "classify")
    assert torch.equal(captured.graph.run(x)[0], model(x))
    assert torch.equal(recapture(captured.graph, x).module()(x), model(x))
    assert "model.code.weight" in captured.graph.weights
    assert {"model.code", "model.graph.0"} <= {module_path(node) for node in captured.graph.nodes}
    assert captured.notes == (
        "torch.export has a meaning of its own for the name code: in the file, and in messages, modules are called "
        "model.code, and all others likewise",
    )


def test_a_captured_program_is_captured_again() -> None:
    model, x = build().eval(), torch.randn(1, 3, 32, 32)
    program = torch.export.export(model, (x,))
    captured = capture(program.module(), x, "classify")
    assert torch.equal(captured.graph.run(x)[0], model(x))


def test_an_output_whose_size_depends_on_the_image() -> None:
    class Positive(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            positive: torch.Tensor = x[x > 0]
            return positive

    with pytest.raises(
        CaptureError, match=r"size of an output depends on the image's values, by index \(line \d+ of .*test_capture"
    ):
        capture_model(Positive(), 1, 3, 8, 8)


def test_a_size_that_values_decide_on_the_way_is_proved_as_any_other() -> None:
    class MeanOfPositive(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[x > 0].mean()[None]

    x = torch.randn(1, 3, 8, 8)
    graph = capture_model(MeanOfPositive(), 1, 3, 8, 8).graph.copy()
    graph.cast(torch.float32, torch.float64)  # as the proof of a rewrite does
    assert torch.equal(graph.run(x.double())[0], x.double()[x > 0].mean()[None])


def test_an_assertion_inside_pytorch_is_no_text_for_a_user() -> None:
    said = (
        '0 INTERNAL ASSERT FAILED at "/w/pytorch/torch/csrc/utils/parser.cpp":659, please report a bug. args = [0x7f81]'
    )
    assert reason_of(RuntimeError(said)) == "RuntimeError: an assertion inside PyTorch failed, at parser.cpp"


def test_outputs_with_other_names_are_noted() -> None:
    class Named(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, object]:
            return {"a": {"b": x + 1}, "a_b": x + 2, "out-1": x + 3, "input": x + 4, "plain": x + 5}

    captured = capture_model(Named(), 1, 3, 8, 8)
    assert [output.name for output in captured.outputs] == ["a_b", "a_b_1", "out_1", "input_3", "plain"]
    (note,) = captured.notes
    assert note.endswith("each name once: a_b is a_b_1, out-1 is out_1, input is input_3")


def test_a_model_that_writes_into_its_input_leaves_the_image_alone() -> None:
    image = torch.ones(1, 3, 8, 8)
    captured = capture(InPlace(), image, "classify")
    expected = torch.full((1, 3, 8, 8), 3.0).sin()
    for _ in range(2):
        assert torch.allclose(captured.graph.run(image)[0], expected)
    assert torch.equal(image, torch.ones(1, 3, 8, 8))


class FakeQuantized(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127)


def test_models_of_quantisation_aware_training_are_refused_with_the_reason() -> None:
    rounding = torch.ao.quantization.FakeQuantize()  # type: ignore[no-untyped-call]
    with pytest.raises(CaptureError, match=r"quantisation-aware training: 1 modules, the first is '1'") as caught:
        capture_model(nn.Sequential(nn.Conv2d(3, 4, 3), rounding), 1, 3, 8, 8)
    assert "nn.Identity()" in str(caught.value.hint)
    with pytest.raises(CaptureError, match=r"rounds values as int8 would \(line \d+ of .*test_capture\.py\)"):
        capture_model(FakeQuantized(), 1, 3, 8, 8)
