"""Core ML's own predictions as legs of a verification, with a stand-in for Core ML itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.app_options import AppOptions
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.coreml.runner import CoreMLRunner, core_ml_runners
from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact
from tests.conftest import RESEARCH
from tests.support.apple_tools.core_ml_model import CoreMLModel, become_mac

NET = RESEARCH / "small_net.py"


def export(folder: Path, function: str = "build", size: tuple[int, ...] = (16, 16), **app: Any) -> Path:
    request = ModelRequest(f"{NET}:{function}", size=size)
    (report,) = export_model(ExportRequest(request, ("coreml",), folder=folder, app=AppOptions(**app)))
    return report.artifact.path


def test_off_macos_nothing_opens_a_package_and_the_reason_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mobilevit_deploy.targets.coreml.runner.sys.platform", "linux")
    reasons = [item.reason for item in core_ml_runners(tmp_path, None) if not callable(item)]
    assert reasons == ["Core ML itself runs on macOS only"] * 2


def test_on_a_mac_core_ml_itself_is_two_more_legs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = export(tmp_path)
    become_mac(monkeypatch)
    report = verify_artifact(VerifyRequest(path, model=f"{NET}:build"))
    found = [(leg.runner, leg.settings.get("compute_units")) for leg in report.parity.legs]
    assert found == [("mil", None), ("coreml", "CPU_ONLY"), ("coreml", "ALL")]
    assert report.parity.not_run == ()
    assert CoreMLModel.opened[-2:] == [("CPU_ONLY", None), ("ALL", None)]


@pytest.mark.parametrize("channels", ["rgb", "bgr", None])
def test_images_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: Any) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"class {i}" for i in range(100)))
    gray = channels is None
    mean, std = ((0.5,), (0.25,)) if gray else ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    size = (1, 16, 16) if gray else (16, 16)
    path = export(
        tmp_path / "out", "build_gray" if gray else "build", size,
        image_input=True, channels=channels, mean=mean, std=std, labels=labels,
    )  # fmt: skip
    become_mac(monkeypatch)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1 if gray else 3, 16, 16)).astype(np.float32)
    expected, found = (runner.run(pixels)[0] for runner in (MilRunner(path), CoreMLRunner(path, "ALL")))
    assert np.abs(found - expected).max() < 1e-6
    assert np.abs(CoreMLRunner(path, "ALL").run(255 - pixels)[0] - expected).max() > 1e-6, "another image shows"


def test_outputs_in_the_models_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = export(tmp_path, "build_pair")
    become_mac(monkeypatch)
    image = np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)
    first, second = CoreMLRunner(path, "CPU_ONLY").run(image)
    assert (second >= 0).all()
    assert (first < 0).any()


def test_a_package_that_core_ml_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = export(tmp_path)
    become_mac(monkeypatch)
    broken = path.rename(tmp_path / "broken.mlpackage")
    with pytest.raises(ArtifactError, match=r"Core ML does not load broken\.mlpackage: Error compiling model"):
        CoreMLRunner(broken, "ALL")
