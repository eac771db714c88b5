"""Core AI's own runtime as a runner: what it computes, what it shows of the values inside, and how it fails."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.graph import Graph, module_path
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline.conversion import convert_for_target
from mobilevit_deploy.pipeline.plan import TargetRequest, plan_target
from mobilevit_deploy.pipeline.prepare import prepare, ready_for_target
from mobilevit_deploy.targets.coreai import child as coreai_child
from mobilevit_deploy.targets.coreai.runner import CoreAIRunner, open_all
from mobilevit_deploy.targets.registry import describe_file
from mobilevit_deploy.verification.report import VerifyFailedError, VerifyReport
from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact
from tests.conftest import RESEARCH
from tests.support.damage.kinds import KINDS
from tests.support.damage.make import caught, draw

NET = f"{RESEARCH / 'small_net.py'}:build_narrow"
GELU = torch.ops.aten.gelu


def convert(folder: Path, precision: str, spoil: Callable[[Graph], None] | None = None, model: str = NET) -> Path:
    """Writes an asset as an export does, without the comparison that would keep a wrong one from being published."""
    prepared = prepare(load_model(ModelRequest(model, size=(16, 16))))
    plan = plan_target(TargetRequest("coreai", precision=precision))
    ready = ready_for_target(plan, prepared)
    if spoil:
        spoil(ready.graph)
    return convert_for_target(plan, prepared, ready, folder).path


def other_gelu(graph: Graph) -> None:
    """Gives the second block the form of GELU that is 5e-4 off."""
    (node,) = [item for item in graph.calls(GELU) if module_path(item) == "second"]
    node.kwargs = {"approximate": "tanh"}


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("assets")
    return {precision: convert(folder, precision) for precision in ("fp32", "fp16")}


@pytest.fixture(scope="module")
def image() -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)


def verify(path: Path) -> VerifyReport:
    return verify_artifact(VerifyRequest(path, model=NET, locate=True))


def test_readings_of_half_precision(assets: dict[str, Path], image: np.ndarray) -> None:
    """Computed in float32, a half-precision file and a float32 one with rounded weights are one program."""
    run = {
        name: CoreAIRunner(assets[precision], reading, assets["fp16"]).run(image)[0]  # type: ignore[arg-type]
        for name, precision, reading in (
            ("float32", "fp32", "rounded"),
            ("half", "fp16", "rounded"),
            ("half, rounded once", "fp16", "rounded once"),
            ("half, unrounded", "fp16", "unrounded"),
            ("float32, weights rounded", "fp32", "rounded constants"),
        )
    }
    exact = prepare(load_model(ModelRequest(NET, size=(16, 16)))).captured.graph.run(torch.from_numpy(image))[0].numpy()
    largest = np.abs(exact).max()
    assert np.abs(run["float32"] - exact).max() <= 1e-6 * largest, "some roundings of float32, each 6e-8"
    assert np.abs(run["half, unrounded"] - run["float32, weights rounded"]).max() <= 1e-6 * largest
    for name in ("half", "half, rounded once", "half, unrounded"):  # weights of 11 bits differ by up to 5e-4 each
        assert 1e-5 * largest < np.abs(run[name] - exact).max() < 1e-2 * largest
    for name in ("half", "half, rounded once"):
        assert np.abs(run[name] - run["half, unrounded"]).max() > 1e-5 * largest, "the values are rounded, too"
    assert np.abs(run["half"] - run["half, rounded once"]).max() > 0, "and partial sums"


class Undecided(nn.Module):
    """Values that lie between 0.1 and the half-precision number next to it, and scales that no such number has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        there = F.threshold(0.0999756 + 1.2e-5 * x, 0.1, 0.2)
        return F.interpolate(there, size=(27, 27), mode="bilinear", align_corners=True)


def other_threshold(graph: Graph) -> None:
    """Makes a threshold a hundredth larger."""
    (node,) = graph.calls(torch.ops.aten.threshold)
    node.args = (node.args[0], 0.1 * 1.01, 0.2)


@pytest.mark.parametrize("spoil", [None, other_threshold])
def test_what_half_precision_keeps_in_float32_is_not_rounded(
    tmp_path: Path, image: np.ndarray, spoil: Callable[[Graph], None] | None
) -> None:
    """Numbers of decompositions that compute in float32 decide as they stand; a wrong one is still another one."""
    model = f"{__name__}:Undecided"
    float32, half = convert(tmp_path, "fp32", None, model), convert(tmp_path, "fp16", spoil, model)
    before = CoreAIRunner(float32, "rounded constants", half).run(image)[0]
    after = CoreAIRunner(half, "unrounded").run(image)[0]
    assert (np.abs(after - before).max() <= 1e-6 * np.abs(before).max()) == (spoil is None)


def test_half_precision_is_run_in_two_ways(assets: dict[str, Path]) -> None:
    assert [opener().settings.get("sums") for opener in open_all(assets["fp16"])] == ["float32", "float16"]
    assert [opener().settings.get("sums") for opener in open_all(assets["fp32"])] == [None]


def test_a_right_asset_passes_and_every_value_has_a_name(assets: dict[str, Path], image: np.ndarray) -> None:
    assert verify(assets["fp32"]).parity.status == "passed"
    observed = CoreAIRunner(assets["fp32"]).observe(image)
    names = [item.name for item in observed]
    assert {"conv2d", "conv2d_4", "gelu", "gelu_1", "add", "mean", "logits"} <= set(names)
    gelu, before = (next(item.value for item in observed if item.name == name) for name in ("gelu", "conv2d_1"))
    expected = torch.nn.functional.gelu(torch.from_numpy(before)).numpy()
    assert np.abs(gelu - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a half-precision asset with a wrong operation."""
    return convert(tmp_path_factory.mktemp("spoilt"), "fp16", other_gelu)


def test_half_precision_hides_a_wrong_operation_below_its_tolerance(spoilt: Path) -> None:
    assert verify_artifact(VerifyRequest(spoilt, model=NET)).parity.status == "passed"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_wrong_operation_is_caught_and_located(tmp_path: Path, spoilt: Path, precision: str) -> None:
    path = spoilt if precision == "fp16" else convert(tmp_path, precision, other_gelu)
    with pytest.raises(VerifyFailedError) as failure:
        verify_artifact(VerifyRequest(path, model=NET, tight=precision == "fp16", locate=True))
    divergence = failure.value.report.divergence
    assert divergence is not None
    assert (divergence.module, divergence.op, divergence.kind) == ("second", "gelu", "wrong op")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_weight_is_caught_and_named(assets: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """Small weights stand in the program, large ones beside it."""
    path = assets["fp16"]
    (damage,) = draw(path, 1, seed=0, kinds=[kind])
    assert caught(damage, path, tmp_path / path.name) is None


def test_a_damaged_asset_is_refused(assets: dict[str, Path], tmp_path: Path) -> None:
    path = Path(shutil.copytree(assets["fp32"], tmp_path / "damaged.aimodel"))
    program = path / "main.mlirb"
    program.write_bytes(program.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match=r"Core AI does not read damaged\.aimodel"):
        describe_file(path)
    with pytest.raises(ArtifactError, match=r"Core AI does not load damaged\.aimodel"):
        CoreAIRunner(path)
    (path / "metadata.json").write_text("{")
    shutil.copy(assets["fp32"] / "main.mlirb", program)
    with pytest.raises(ArtifactError, match=r"damaged\.aimodel"):
        describe_file(path)


WORKERS = {
    "LLVM ERROR: so (SIGABRT)": "import os; input(); os.write(2, b'LLVM ERROR: so\\n'); os.abort()",
    "ended without a word (SIGSEGV)": "import os, signal; input(); os.kill(os.getpid(), signal.SIGSEGV)",
    "did not finish in 1 s": "import time; time.sleep(60)",
}


@pytest.mark.parametrize("reason", WORKERS)
def test_a_runtime_that_aborts_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    monkeypatch.setattr(coreai_child, "WORKER", (sys.executable, "-c", WORKERS[reason]))
    monkeypatch.setattr(coreai_child, "LONGEST_REQUEST_S", 1 if "finish" in reason else 60)
    with pytest.raises(ArtifactError) as refused:
        CoreAIRunner(tmp_path / "net.aimodel")
    assert refused.value.message == f"Core AI does not load net.aimodel: {reason}"


def test_a_process_ends_with_its_runner(assets: dict[str, Path]) -> None:
    runner = CoreAIRunner(assets["fp32"])
    process, folder = runner._child._process, runner._child.folder
    assert process.poll() is None
    del runner
    assert process.wait(10) is not None
    assert not folder.exists()
