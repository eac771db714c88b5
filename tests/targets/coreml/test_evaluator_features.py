"""What a package's description says: shapes, images, labels, functions and states."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from tests.targets.coreml.mil.packages import Of, build, convert, coremltools, largest_error, normal, outputs_of, save

pytestmark = pytest.mark.filterwarnings("ignore")  # the converter's own warnings, and those of tracing


class TestInputs:
    def test_a_wrong_shape(self, tmp_path: Path) -> None:
        runner = MilRunner(save(convert(Of(torch.relu), torch.ones(1, 3, 4, 4)), tmp_path))
        message = r"the model takes 'x' in the shape \[1, 3, 4, 4\], and was given \[2, 3, 4, 4\]"
        with pytest.raises(ArtifactError, match=message):
            runner.run(np.ones((2, 3, 4, 4), np.float32))

    def test_more_than_one(self, tmp_path: Path) -> None:
        class Two(nn.Module):
            def forward(self, a: Tensor, b: Tensor) -> Tensor:
                return a - b

        a, b = torch.randn(2, 3), torch.randn(2, 3)
        with torch.no_grad():
            traced = torch.jit.trace(Two(), (a, b))  # type: ignore[no-untyped-call]
        inputs = [coremltools.TensorType(name=name, shape=(2, 3)) for name in "ab"]
        model = coremltools.convert(
            traced, inputs=inputs, skip_model_load=True, compute_precision=coremltools.precision.FLOAT32
        )
        runner = MilRunner(save(model, tmp_path))
        (found,) = runner.run({"b": b.numpy(), "a": a.numpy()})
        np.testing.assert_array_equal(found, (a - b).numpy())
        with pytest.raises(ArtifactError, match="the model has 2 inputs: a, b"):
            runner.run(a.numpy())
        with pytest.raises(ArtifactError, match="an input 'b', and no value was given"):
            runner.run({"a": a.numpy()})

    def test_enumerated_shapes(self, tmp_path: Path) -> None:
        shapes = coremltools.EnumeratedShapes(shapes=[(1, 3, 8, 8), (1, 3, 12, 16)], default=(1, 3, 8, 8))
        module = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Flatten(2))
        inputs = [coremltools.TensorType(name="x", shape=shapes)]
        model = convert(module, torch.ones(1, 3, 8, 8), "trace", inputs=inputs)
        runner = MilRunner(save(model, tmp_path))
        assert set(runner.inputs[0].shapes) == {(1, 3, 8, 8), (1, 3, 12, 16)}
        for shape in runner.inputs[0].shapes:
            x = torch.randn(shape)
            assert largest_error(runner.run(x.numpy()), outputs_of(module, x)) < 1e-5
        with pytest.raises(
            ArtifactError, match=r"in the shape \[1, 3, \d+, \d+\] or \[1, 3, \d+, \d+\], and was given"
        ):
            runner.run(np.ones((1, 3, 9, 9), np.float32))

    def test_a_range_of_shapes(self, tmp_path: Path) -> None:
        size = coremltools.RangeDim(4, 16, default=8)
        inputs = [coremltools.TensorType(name="x", shape=(1, 3, size, 8))]
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1))
        runner = MilRunner(save(convert(module, torch.ones(1, 3, 8, 8), "trace", inputs=inputs), tmp_path))
        for height in (4, 9, 16):
            x = torch.randn(1, 3, height, 8)
            assert largest_error(runner.run(x.numpy()), outputs_of(module, x)) < 1e-5
        with pytest.raises(ArtifactError, match=r"in the shape \[1, 3, 4 to 16, 8\], and was given \[1, 3, 17, 8\]"):
            runner.run(np.ones((1, 3, 17, 8), np.float32))


class TestImages:
    @pytest.mark.parametrize("layout", ["RGB", "BGR"])
    def test_scale_and_bias_stand_in_the_program(self, layout: str, tmp_path: Path) -> None:
        module = nn.Conv2d(3, 4, 3)
        image_type = coremltools.ImageType(
            name="x",
            shape=(1, 3, 8, 8),
            scale=1 / 64,
            bias=[-1.0, -2.0, -3.0],
            color_layout=getattr(coremltools.colorlayout, layout),
        )
        model = convert(module, torch.ones(1, 3, 8, 8), inputs=[image_type])
        runner = MilRunner(save(model, tmp_path))
        (feature,) = runner.inputs
        assert (feature.kind, feature.color, feature.shape) == ("image", layout, (1, 3, 8, 8))
        pixels = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8).float()
        expected = outputs_of(module, pixels / 64 + torch.tensor([-1.0, -2.0, -3.0])[:, None, None])
        assert largest_error(runner.run(pixels.numpy()), expected) < 1e-5

    def test_grayscale(self, tmp_path: Path) -> None:
        module = nn.Conv2d(1, 2, 3)
        image_type = coremltools.ImageType(
            name="x", shape=(1, 1, 8, 8), color_layout=coremltools.colorlayout.GRAYSCALE, scale=0.5, bias=-3.0
        )
        runner = MilRunner(save(convert(module, torch.ones(1, 1, 8, 8), inputs=[image_type]), tmp_path))
        assert runner.inputs[0].color == "GRAYSCALE"
        pixels = torch.randint(0, 256, (1, 1, 8, 8), dtype=torch.uint8).float()
        assert largest_error(runner.run(pixels.numpy()), outputs_of(module, pixels * 0.5 - 3)) < 1e-5

    def test_enumerated_sizes(self, tmp_path: Path) -> None:
        shapes = coremltools.EnumeratedShapes(shapes=[(1, 3, 8, 8), (1, 3, 12, 16)])
        model = convert(
            nn.Conv2d(3, 2, 3), torch.ones(1, 3, 8, 8), "trace", inputs=[coremltools.ImageType("x", shapes)]
        )
        runner = MilRunner(save(model, tmp_path))
        assert set(runner.inputs[0].shapes) == {(1, 3, 8, 8), (1, 3, 12, 16)}
        assert runner.run(np.ones((1, 3, 12, 16), np.float32))[0].shape == (1, 2, 10, 14)


class TestClassifiers:
    @pytest.mark.parametrize("labels", [["cat", "dog", "cow"], [7, 8, 9]])
    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    def test_probabilities_in_the_labels_order(self, labels: list[Any], precision: str, tmp_path: Path) -> None:
        module = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Softmax(1))
        x = torch.randn(1, 3, 2, 2)
        model = convert(module, x, "trace", precision=precision, classifier_config=coremltools.ClassifierConfig(labels))
        runner = MilRunner(save(model, tmp_path))
        (output,) = runner.outputs
        assert (output.kind, output.labels) == ("probabilities", tuple(labels))
        tolerance = 1e-5 if precision == "fp32" else 2e-3
        assert largest_error(runner.run(x.numpy()), outputs_of(module, x)) < tolerance


class TestFunctions:
    @pytest.fixture(scope="class")
    @classmethod
    def path(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("functions")
        description = coremltools.utils.MultiFunctionDescriptor()
        for name, function in {"double": lambda x: x * 2.0, "halve": lambda x: x * 0.5}.items():
            model = convert(Of(function), torch.ones(1, 4), ios=18)
            model.save(str(folder / f"{name}.mlpackage"))
            description.add_function(str(folder / f"{name}.mlpackage"), "main", name)
        description.default_function_name = "halve"
        coremltools.utils.save_multifunction(description, str(folder / "both.mlpackage"))
        return folder / "both.mlpackage"

    @pytest.mark.parametrize(("function", "expected"), [("double", 2.0), ("halve", 0.5), (None, 0.5)])
    def test_each_is_found(self, path: Path, function: str | None, expected: float) -> None:
        runner = MilRunner(path, function=function)
        assert runner.run(np.ones((1, 4), np.float32))[0].tolist() == [[expected] * 4]
        assert runner.settings["function"] == (function or "halve")

    def test_an_unknown_one(self, path: Path) -> None:
        with pytest.raises(ArtifactError, match="no function 'triple'") as caught:
            MilRunner(path, function="triple")
        assert caught.value.hint == "it has: double, halve"

    def test_an_unknown_one_of_a_model_with_one(self, tmp_path: Path) -> None:
        path = save(convert(Of(torch.relu), torch.ones(1, 2)), tmp_path)
        with pytest.raises(ArtifactError, match="no function 'other'") as caught:
            MilRunner(path, function="other")
        assert caught.value.hint == "it has: main"


def test_states_begin_with_zeros_in_every_run(tmp_path: Path) -> None:
    class Counter(nn.Module):
        total: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("total", torch.zeros(1, 4))

        def forward(self, x: Tensor) -> Tensor:
            self.total += x
            return self.total * 2.0

    state = coremltools.StateType(wrapped_type=coremltools.TensorType(shape=(1, 4)), name="total")
    model = convert(Counter(), torch.zeros(1, 4), "trace", ios=18, precision="fp16", states=[state])
    runner = MilRunner(save(model, tmp_path))
    for _ in range(2):
        assert runner.run(np.ones((1, 4), np.float32))[0].tolist() == [[2.0] * 4]


def test_integer_outputs_become_float(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        from coremltools.converters.mil.mil import Builder

        return Builder.reduce_argmax(x=x, axis=1, name="y")

    (found,) = MilRunner(save(build(body, (2, 5), 16), tmp_path)).run(normal(2, 5))
    assert found.dtype == np.float32
    assert found.tolist() == normal(2, 5).argmax(1).tolist()


def test_a_branch_is_named_as_unknown(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        from coremltools.converters.mil.mil import Builder

        positive = Builder.greater(x=Builder.reduce_sum(x=x, keep_dims=False), y=0.0)
        return Builder.cond(
            pred=positive, _true_fn=lambda: Builder.relu(x=x), _false_fn=lambda: Builder.tanh(x=x), name="y"
        )

    with pytest.raises(ArtifactError, match=r"cond '\w+' is an op that this runner does not know"):
        MilRunner(save(build(body, (2, 5), 16), tmp_path))
