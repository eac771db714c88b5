"""The Core ML runner against PyTorch: the file's own arithmetic, in every form that coremltools writes it."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mobilevit_deploy.catalog.model_card import Task
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline.conversion import convert_for_target
from mobilevit_deploy.pipeline.plan import TargetRequest, plan_target
from mobilevit_deploy.pipeline.prepare import prepare, ready_for_target
from mobilevit_deploy.runners.reference import TorchRunner
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from tests.targets.coreml.mil.blocks import BLOCKS, make_block
from tests.targets.coreml.mil.packages import Of, Route, convert, largest_error, outputs_of, save

pytestmark = pytest.mark.filterwarnings("ignore")  # the converter's own warnings, and those of tracing


class TestBlocks:
    @pytest.mark.parametrize(
        ("name", "route", "ios"),
        [
            (name, route, ios)
            for name in BLOCKS
            for route, ios in [("export", 15), ("trace", 16), ("trace", 17), ("export", 18)]
            if (name, ios) != ("upsampler", 15)  # there is no pixel_unshuffle
        ],
    )
    def test_computes_what_pytorch_does(self, name: str, route: Route, ios: int, tmp_path: Path) -> None:
        module, x = make_block(name)
        runner = MilRunner(save(convert(module, x, route, ios), tmp_path))
        assert largest_error(runner.run(x.numpy()), outputs_of(module, x)) < 1e-5

    @pytest.mark.parametrize("name", BLOCKS)
    def test_half_precision_stays_near(self, name: str, tmp_path: Path) -> None:
        module, x = make_block(name)
        path, expected = save(convert(module, x, "export", 17, "fp16"), tmp_path), outputs_of(module, x)
        errors = {mode: largest_error(MilRunner(path, mode).run(x.numpy()), expected) for mode in MODES}  # type: ignore[arg-type]
        assert all(1e-6 < error < 1e-2 for error in errors.values()), errors
        assert errors["widened"] < errors["fp16_storage"]


MODES = ("fp16_storage", "half", "widened")


class TestConverter:
    """What coremltools itself changes: the runner computes what the file says, not what was meant."""

    @pytest.mark.parametrize("width", [16, 400])
    def test_small_constants_that_half_precision_would_lose(self, width: int, tmp_path: Path) -> None:
        """An epsilon is kept from zero, and so are few numbers; of many each becomes what is nearest."""
        small = torch.linspace(-1e-7, 1e-7, width)
        module = Of(lambda x: F.layer_norm(x * 0, (width,), eps=1e-12) + (x * small) * 1e4)
        x = torch.randn(2, width)
        files = {precision: tmp_path / precision for precision in ("fp32", "fp16")}
        for precision, folder in files.items():
            folder.mkdir()
            files[precision] = save(convert(module, x, "export", 16, precision), folder)
        (expected,) = MilRunner(files["fp32"], "half_constants").run(x.numpy())
        (found,) = MilRunner(files["fp16"], "widened").run(x.numpy())
        assert np.isfinite(found).all()
        assert (found == expected).all()

    @pytest.mark.parametrize(("route", "is_tanh"), [("trace", True), ("export", False)])
    def test_tanh_gelu_becomes_exact_on_the_export_route(self, route: Route, is_tanh: bool, tmp_path: Path) -> None:
        x = torch.linspace(-3, 3, 64).reshape(1, 64)
        model = convert(Of(lambda x: F.gelu(x, approximate="tanh")), x, route)
        (found,) = MilRunner(save(model, tmp_path)).run(x.numpy())
        computed, other = F.gelu(x, approximate="tanh"), F.gelu(x)
        if not is_tanh:
            computed, other = other, computed
        assert np.abs(found - computed.numpy()).max() < 1e-6
        assert np.abs(found - other.numpy()).max() > 1e-4


class TestModes:
    def test_fp16_overflows_where_a_device_would(self, tmp_path: Path) -> None:
        x = torch.tensor([[100.0, 300.0]])
        path = save(convert(Of(lambda x: (x * x) / 1000), x, precision="fp16"), tmp_path)
        assert np.isinf(MilRunner(path).run(x.numpy())[0]).tolist() == [[False, True]]
        assert np.isinf(MilRunner(path, "half").run(x.numpy())[0]).tolist() == [[False, True]]
        widened = MilRunner(path, "widened")
        np.testing.assert_allclose(widened.run(x.numpy())[0], [[10.0, 90.0]], rtol=1e-3)
        assert max(widened.largest_magnitudes(x.numpy()).values()) == 90_000

    def test_every_fp16_result_is_rounded(self, tmp_path: Path) -> None:
        module, x = make_block("vit")
        path = save(convert(module, x, precision="fp16"), tmp_path)
        recorded = MilRunner(path).run_recording(x.numpy())
        assert all(np.array_equal(value, value.astype(np.float16)) for value in recorded.values())

    def test_settings_say_what_ran(self, tmp_path: Path) -> None:
        path = save(convert(Of(torch.relu), torch.ones(1, 2)), tmp_path)
        assert MilRunner(path, "half").settings == {"mode": "half", "function": "main"}
        assert MilRunner(path).name == "mil"


class TestRecording:
    def test_intermediate_values_by_name(self, tmp_path: Path) -> None:
        x = torch.randn(1, 3, 8, 8)
        conv = nn.Conv2d(3, 4, 3)
        runner = MilRunner(save(convert(nn.Sequential(conv, nn.Tanh(), nn.MaxPool2d(2)), x), tmp_path))
        recorded = runner.run_recording(x.numpy())
        first = next(iter(recorded))
        np.testing.assert_allclose(recorded[first], conv(x).detach().numpy(), rtol=1e-4, atol=1e-5)
        assert list(recorded)[-1] == runner.outputs[0].name
        assert list(runner.run_recording(x.numpy(), [first])) == [first]
        with pytest.raises(ArtifactError, match="computes no value named 'ghost'"):
            runner.run_recording(x.numpy(), ["ghost"])

    def test_observed_in_order_with_their_ops(self, tmp_path: Path) -> None:
        x = torch.randn(1, 4)
        runner = MilRunner(save(convert(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Sigmoid()), x), tmp_path))
        seen: list[str] = []
        runner.run_observed(x.numpy(), lambda operation, name, value: seen.append(operation.type))
        assert seen == ["linear", "tanh", "sigmoid"]


# One variant of each family, of two blocks; whole ones are those of tests/export/test_every_model.py.
VARIANTS: dict[str, tuple[Task, int]] = {
    "cas_vit_xs": ("classify", 32),
    "cloformer_xxs": ("classify", 32),
    "lightvit_tiny": ("features", 64),
    "saevit_0p8g": ("classify", 32),
}


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("name", VARIANTS)
def test_own_exports(name: str, tmp_path: Path) -> None:
    task, side = VARIANTS[name]
    prepared = prepare(load_model(ModelRequest(name, task, size=(side, side))))
    plan = plan_target(TargetRequest("coreml", precision="fp32"))
    artifact = convert_for_target(plan, prepared, ready_for_target(plan, prepared), tmp_path)
    images = prepared.images[:1]
    expected = TorchRunner(prepared.model.module).run(images)
    assert largest_error(MilRunner(artifact.path).run(images), list(expected)) < 1e-5
