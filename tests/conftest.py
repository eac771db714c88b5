"""Fixtures that several test modules share. No test needs the network or files outside this repository."""

import os

os.environ.pop("COLUMNS", None)  # the width of somebody's terminal, which xdist tells its workers
# The tests run in one process per core, and so do the programs that they start: threads that wait for each other on
# cores that are taken cost more than they give. Read when NumPy and PyTorch are imported, so before everything else.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

import argparse
import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from safetensors.torch import load_file
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.cli.app import app
from mobilevit_deploy.graph.capture import Captured, capture
from mobilevit_deploy.report.demo.data import CHECKPOINT
from mobilevit_deploy.targets.coreml.quiet import quiet_coreml
from mobilevit_deploy.targets.onnx import convert as onnx_target
from tests.support import times, torchlib
from tests.support.recorded import GOLDEN
from tests.support.warm_worker import warm

pytest_plugins = ["tests.support.hostile", "tests.support.faults", "tests.support.stand_ins"]

RESEARCH = Path(__file__).parent / "research"

# The same examples in every run, and as long as they take: neither chance nor a busy machine decides over a change.
settings.register_profile("tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

torch.set_num_threads(1)
gc.set_threshold(50_000, 20, 100)  # as the program itself does
torchlib.remember()
with quiet_coreml():  # as the program imports it: it warns, and would import ExecuTorch, which warns more
    import coremltools  # noqa: F401


@pytest.fixture(scope="module", autouse=True)
def freeze_what_stays() -> Iterator[None]:
    """Keeps what a module's tests imported out of later collections: a conversion makes several, of 0.3 s each."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def temporary_files() -> Iterator[None]:
    """A folder for what libraries leave: coremltools removes its files at exit, and workers of xdist just stop."""
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="mvd-tests-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        yield
        tempfile.tempdir = before[0]
        os.environ.pop("TMPDIR") if before[1] is None else os.environ.update(TMPDIR=before[1])


def save_digits(stored: Path, folder: Path) -> Path:
    """Writes recorded weights as the family's own training does, EMA weights beside raw ones; returns the file."""
    weights: dict[str, Tensor] = {}
    for name, value in load_file(stored).items():
        weights[name] = value.float()
        if name.endswith("running_var"):
            weights[name.replace("running_var", "num_batches_tracked")] = torch.tensor(1)
    raw = {name: value * 0.99 if value.is_floating_point() else value for name, value in weights.items()}
    content = {
        "model": raw,
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3}]},
        "epoch": 5,
        "scaler": {"scale": 65536.0},
        "args": argparse.Namespace(model="cas_vit_xs", input_size=64, nb_classes=10),
        "model_ema": weights,
    }
    path = folder / "checkpoint_best.pth"
    torch.save(content, path)
    return path


@pytest.fixture(scope="session", autouse=True)
def warm_simplifier(temporary_files: None) -> Iterator[None]:  # noqa: ARG001 - it lies in them
    """Forks onnxsim's worker, for exports in this process; those of whole programs start it as a user's do."""
    with warm("onnxsim") as command, pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_target, "SIMPLIFIER", command)
        yield


@pytest.fixture(scope="session")
def digits_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained checkpoint of cas_vit_xs."""
    return save_digits(CHECKPOINT, tmp_path_factory.mktemp("checkpoint"))


@dataclass(frozen=True)
class Digits:
    """A trained checkpoint under the name of cas_vit_xs.

    Attributes:
        checkpoint: the file.
        whole: whether the model is the catalog's own; else it has two blocks.
        correct: of the 397 test images.
    """

    checkpoint: Path
    whole: bool
    correct: int


@pytest.fixture(scope="module", params=["two blocks", pytest.param("whole", marks=pytest.mark.slow)])
def digits(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Digits]:
    """A trained model of two blocks, which takes every step in seconds; among the slow tests, cas_vit_xs itself."""
    if request.param == "whole":
        yield Digits(request.getfixturevalue("digits_checkpoint"), whole=True, correct=390)
        return
    with shallow_models():
        checkpoint = save_digits(GOLDEN / "cas_vit_few_digits64.safetensors", tmp_path_factory.mktemp("checkpoint"))
        yield Digits(checkpoint, whole=False, correct=397)


@pytest.fixture(scope="session")
def kept_exports(shared: Path) -> Path:
    """A folder of kept exports, one for all processes: for tests that look at an export and not at exporting."""
    return shared / "kept-exports"


# The smallest model of each family, of two narrow blocks: every rewrite of its own finds its place in them.
TWO_BLOCKS: dict[str, dict[str, Any]] = {
    "cas_vit_xs": {"depths": [1, 1], "widths": [16, 32]},
    "cloformer_xxs": {
        "depths": [1, 0, 0, 1], "widths": [16, 32, 32, 32], "heads": [2, 2, 4, 4], "local_heads": [1, 1, 2, 2],
    },
    "lightvit_tiny": {
        "depths": [0, 1, 1], "widths": [16, 32, 64], "heads": [1, 2, 4], "mlp_ratios": [2, 2, 2],
        "global_tokens": {"classify": 8, "features": 16},
    },
    "saevit_0p8g": {"depths": [1, 0, 0, 1], "widths": [16, 16, 32, 32], "head_width": 16},
}  # fmt: skip


@contextmanager
def shallow_models() -> Iterator[None]:
    """Gives the smallest models two blocks: for tests that look at exporting, and not at the models."""
    cards = catalog.models()
    changed = dict(cards)
    for name, architecture in TWO_BLOCKS.items():
        variant = cards[name].variant.model_copy(update={"architecture": architecture})
        strides = cards[name].family.map_strides[: len(architecture["widths"])]
        family = cards[name].family.model_copy(update={"map_strides": strides})
        changed[name] = cards[name].model_copy(update={"family": family, "variant": variant})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "models", lambda: changed)
        yield


@pytest.fixture
def shallow() -> Iterator[None]:
    """The same for one test."""
    with shallow_models():
        yield


@contextmanager
def small_heads() -> Iterator[None]:
    """Gives the heads few channels, for tests of them; and the one of two stages few boxes to look at."""
    narrow = {"channels": 16, "neck_channels": 16, "convolutions": 1, "box_channels": 16, "mask_convolutions": 1}
    heads = {}
    for task, head in catalog.heads().items():
        architecture = {key: narrow.get(key, value) for key, value in head.architecture.items()}
        if "proposals" in architecture:
            architecture["proposals"] = {**architecture["proposals"], "max_detections": 100}
        heads[task] = head.model_copy(update={"architecture": architecture})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "heads", lambda: heads)
        yield


@contextmanager
def small_pyramid() -> Iterator[None]:
    """Gives cas_vit_xs one narrow block for each of its four maps, and the heads few channels: for tests of heads."""
    cards = catalog.models()
    variant = cards["cas_vit_xs"].variant.model_copy(
        update={"architecture": {"depths": [1, 1, 1, 1], "widths": [8, 8, 16, 16]}}
    )
    changed = {**cards, "cas_vit_xs": cards["cas_vit_xs"].model_copy(update={"variant": variant})}
    with small_heads(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "models", lambda: changed)
        yield


@pytest.fixture
def pyramid() -> Iterator[None]:
    """The same for one test."""
    with small_pyramid():
        yield


@pytest.fixture
def given_times() -> Iterator[None]:
    """Lets every artifact take a millisecond: for tests that measure, and do not look at measuring."""
    with times.given_times():
        yield


@pytest.fixture
def mvd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Runs the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MVD_DEBUG", raising=False)
    monkeypatch.setenv("MVD_CACHE", str(tmp_path / "kept"))
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network as ExecuTorch program, exported once for all tests of a process: each takes seconds."""
    from mobilevit_deploy.export.export import export_model
    from mobilevit_deploy.loading.model import ModelRequest
    from mobilevit_deploy.pipeline.request import ExportRequest

    model = ModelRequest(f"{RESEARCH / 'additive_net.py'}:build", size=(32, 32))
    (report,) = export_model(ExportRequest(model, ("executorch",), folder=tmp_path_factory.mktemp("program")))
    assert report.parity.status == "passed"
    return report.artifact.path


def capture_model(module: nn.Module, *shape: int) -> Captured:
    """Captures a small model, with a fixed random input."""
    return capture(module.eval(), torch.randn(shape, generator=torch.Generator().manual_seed(0)), "classify")


SLOW = pytest.StashKey[list[pytest.Item]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Notes the slow tests before ``-m`` leaves them out."""
    config.stash[SLOW] = [item for item in items if item.get_closest_marker("slow")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints how many hostile inputs were refused, and how many faults were survived."""
    passed = terminalreporter.stats.get("passed", [])
    for counted, what in (("hostile", "hostile inputs refused"), ("fault", "faults survived")):
        found = [value for report in passed for key, value in report.user_properties if key == counted]
        if found:
            terminalreporter.write_line(f"distinct {what}: {len(set(found))}, in {len(found)} runs")
