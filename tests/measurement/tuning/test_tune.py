"""``mvd tune`` from a model to a recipe: real exports of a tiny network, with the number of its nodes for a time."""

import hashlib
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import Result

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.comparison.alternate import alternate
from mobilevit_deploy.measurement.latency.noted import noted_entries
from mobilevit_deploy.measurement.latency.process import Session
from mobilevit_deploy.measurement.latency.stability import Conditions
from mobilevit_deploy.measurement.tuning import timing
from tests.support.schemas import check

Mvd = Callable[..., Result]
NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 9, 1)
        self.last = nn.Linear(3, 4)

    def forward(self, x):
        q, k, v = self.second(self.first(x).relu()).chunk(3, 1)
        return self.last((q * k + v).mean((2, 3)))


def build():
    return Net().eval()
"""
STEM = "net_build-8x8-fp32.untrained"
ENTRY = "session.set_denormal_as_zero=1"
QUIET = Conditions(cores=2, others_share=0.0, steal_share=0.0, waiting_share=0.0, switches_per_s=0.0)


class Given:
    """The one place where times are given: a ms for each of the file's nodes, and ``split_ms`` for a Split.

    An entry of the session takes a tenth off, unless it is ``broken``.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self, split_ms: float = 1.0, interrupted: bool = False, broken: bool = False) -> None:
        self.split_ms, self.interrupted, self.broken = split_ms, interrupted, broken

    @contextmanager
    def set(self, **given: Any) -> Iterator[None]:
        """Changes what is given, for a while."""
        self._reset(**given)
        yield
        self._reset()

    def alternate(self, sessions: Sequence[Session], _seconds: float) -> SimpleNamespace:
        if self.interrupted:
            raise KeyboardInterrupt
        entries = [len(session.settings.session_entries) for session in sessions]
        if self.broken and any(entries):
            raise MeasurementError("net.onnx cannot be measured: an entry that does not work")
        files = [[node.op_type for node in onnx.load(session.path).graph.node] for session in sessions]
        costs = [sum(self.split_ms if name == "Split" else 1.0 for name in names) for names in files]
        costs = [cost * 0.9**count for cost, count in zip(costs, entries, strict=True)]
        return SimpleNamespace(times_ms=[((cost,) * 6,) * 6 for cost in costs], conditions=QUIET)


@pytest.fixture(scope="module", autouse=True)
def times_by_nodes() -> Iterator[Given]:
    with pytest.MonkeyPatch.context() as patch:
        given_times = Given()
        patch.setattr(timing, "alternate", given_times.alternate)
        yield given_times


def given(recipe: Path) -> tuple[object, ...]:
    """Returns the command line of a search for the network, which it writes into the current folder."""
    Path("net.py").write_text(NET)
    net = ("tune", "net.py:build", "--to", "onnx", "--input-size", 8, "--threads", 1)
    return (*net, "--recipe", recipe, "--out", "out")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of ONNX with one rewrite to leave out and none to add: two exports are a whole search."""
    text = (Path(catalog.__file__).parents[2] / "export_recipes" / "onnx.toml").read_text()
    begin, end = text.index("[tuning]"), text.index("# For models of one's own")
    choices = f'leave_out = ["split_convolution"]\nsession = ["{ENTRY}"]\nreason = "for a test"'
    path = tmp_path_factory.mktemp("recipe") / "mine.toml"
    path.write_text(f"{text[:begin]}[tuning]\n{choices}\n\n{text[end:]}")
    return path


def test_a_search_that_finds_something(tmp_path: Path, recipe: Path, mvd: Mvd) -> None:
    """A Split in place of three convolutions, of fewer nodes, is faster by the given times."""
    images = np.random.default_rng(0).standard_normal((6, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(6) % 4)
    found = mvd(*given(recipe), "--images", "images.npz", "--json")
    assert found.exit_code == 0, found.stderr
    document = check("tune", found.stdout)
    assert (document["result"], document["changes"]) == ("tuned", ["without split_convolution"])
    assert document["complete"] is True
    assert document["ratio"] < document["ratio_ci95"][1] + 1e-9 < 1
    (candidate,) = document["candidates"]
    assert candidate["changes"] == document["changes"]
    assert (document["images"], document["threads"], document["groups"]) == (6, 1, 6)
    assert document["points_lost"] == 0
    assert document["session"] == [ENTRY]
    for name in ("recipe", "artifact", "trials", "plot"):
        assert Path(document[name]).is_file()
        assert Path(document[name]).name.startswith(STEM)
    assert "<svg" in Path(document["plot"]).read_text()
    # The file was written by the recipe, and it is the one that was timed, but for the note of what an app has to set.
    assert document["warnings"] == []
    assert noted_entries(Path(document["artifact"])) == (ENTRY,)
    model = onnx.load(document["artifact"])
    (note,) = [item for item in model.metadata_props if item.key == "mvd.session"]
    model.metadata_props.remove(note)
    assert hashlib.sha256(model.SerializeToString()).hexdigest() == candidate["sha256"]
    evidence = tomllib.loads(Path(document["recipe"]).read_text())["tuned"]
    assert (evidence["ratio"], evidence["threads"]) == (document["ratio"], 1)
    assert evidence["versions"]["onnxruntime"]
    written = catalog.recipe(document["recipe"])
    assert written.name == f"{STEM}.onnx.tuned"
    own = catalog.recipe("onnx").rewrites
    assert written.rewrites == tuple(item for item in own if item.name != "split_convolution")
    assert written.tolerances == catalog.recipe("onnx").tolerances


def test_an_interruption_leaves_what_is_known_and_the_default_stays_where_nothing_helps(
    recipe: Path, mvd: Mvd, times_by_nodes: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    with times_by_nodes.set(interrupted=True):
        found = mvd(*given(recipe))
    assert (found.exit_code, found.stdout) == (130, "")
    assert "mvd: no candidate was timed yet" in found.stderr
    assert f"the same command goes on from out/{STEM}.onnx.trials.jsonl" in found.stderr
    assert [path.name for path in Path("out").iterdir()] == [f"{STEM}.onnx.trials.jsonl"]
    monkeypatch.setenv("COLUMNS", "80")
    with times_by_nodes.set(split_ms=50.0, broken=True):
        found = mvd(*given(recipe))
    assert found.exit_code == 0, found.stderr
    assert f"mvd: going on with out/{STEM}.onnx.trials.jsonl" in found.stderr
    assert "entries of the runtime's session were not timed: net.onnx cannot be measured" in found.stderr
    assert "the default recipe is as fast as anything tried" in found.stdout
    assert "nearest: without split_convolution: " in found.stdout
    assert all(len(line) <= 80 for line in found.stdout.splitlines())
    shown = " ".join(found.stdout.replace("\\\n", " ").split())
    assert f"mvd export net.py:build --to onnx --recipe out/{STEM}.onnx.tuned.toml --input-size 8x8" in shown
    written = catalog.recipe(f"out/{STEM}.onnx.tuned.toml")
    assert written.tuned
    assert written.tuned.result == "default"
    assert "split_convolution" in {item.name for item in written.rewrites}


REFUSED = {
    "a search is for one target": ("net.py:build",),
    "for one target: give": ("net.py:build", "--to", "onnx,executorch"),
    "Core ML cannot be tuned here": ("cas_vit_xs", "--to", "coreml"),
    "Core AI cannot be tuned here": ("cas_vit_xs", "--to", "coreai"),
    "'10' is no time": ("cas_vit_xs", "--to", "onnx", "--budget", "10"),
    "'0m' is no time": ("cas_vit_xs", "--to", "onnx", "--budget", "0m"),
    "--max-loss is of accuracy on images": ("cas_vit_xs", "--to", "onnx", "--max-loss", "1"),
    "int8 chooses its ranges by images": ("cas_vit_xs", "--to", "onnx", "--precision", "fp32,int8"),
    "--calibrate is for int8": ("cas_vit_xs", "--to", "onnx", "--calibrate", "structured"),
    "recipe onnx writes fp32": ("cas_vit_xs", "--to", "onnx", "--precision", "fp32,w4"),
    "there is no model named": ("cas_vit_xxs", "--to", "onnx"),
    "--delegate is for an Android phone": ("cas_vit_xs", "--to", "onnx", "--delegate", "gpu"),
    "is no Android phone": ("cas_vit_xs", "--to", "onnx", "--device", "iphone_15"),
    "no time": ("cas_vit_xs", "--to", "onnx", "--budget", "99999999999999h"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_is_refused(mvd: Mvd, message: str) -> None:
    found = mvd("tune", *REFUSED[message])
    assert found.exit_code == (1 if "cannot be tuned" in message else 2), found.stderr
    assert message in " ".join(found.stderr.replace("│", "").split())
    assert not list(Path().iterdir())


@pytest.mark.slow
def test_a_whole_search_with_real_times(mvd: Mvd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a tiny model, with everything that the recipe leaves open, timed as users' files are."""
    monkeypatch.setattr(timing, "alternate", alternate)
    Path("net.py").write_text(NET)
    found = mvd("tune", "net.py:build", "--to", "onnx", "--input-size", 64, "--threads", 1, "--budget", "60s", "--json")
    assert found.exit_code == 0, found.stderr
    document = check("tune", found.stdout)
    assert document["result"] in ("default", "tuned")
    assert all(candidate["ratio"] > 0 for candidate in document["candidates"] if not candidate["refused"])
    assert document["result"] == "default" or document["ratio_ci95"][1] < 1
    assert catalog.recipe(document["recipe"]).tuned
