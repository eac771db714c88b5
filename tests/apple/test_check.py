"""``mvd check`` with a gate of each kind: all pass when just met, and each, tightened, fails alone."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from tests.apple.conftest import NAME, Server, StandIn

NET = """
from torch import nn
def build():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
"""
CHECKS = """
[[check]]
model = "net.py:build"
to = "onnx"
checkpoint = "net.pth"
input_size = 32
[check.limits]
trained = true
max_bytes = {bytes}
max_ops = {{ total = {total}, Conv = 1 }}
accuracy = {{ images = "images.npz", max_drop = 0.0 }}
latency = {{ baseline = "base.onnx", max_ratio = 1.2, seconds = 0.1 }}

[[check]]
model = "net.py:build"
to = "coreml"
checkpoint = "net.pth"
input_size = 32
limits.neural_engine = {{ min_share = 0.5, device = "{device}" }}
"""


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with what the checks name, and the checks, which are just met."""
    folder = tmp_path_factory.mktemp("named")
    (folder / "net.py").write_text(NET)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    torch.save(net.state_dict(), folder / "net.pth")
    images = np.random.default_rng(0).standard_normal((6, 3, 32, 32)).astype(np.float32)
    np.savez(folder / "images.npz", images=images, labels=np.zeros(6, np.int64))
    model = ModelRequest(f"{folder / 'net.py'}:build", checkpoint=folder / "net.pth", size=(32, 32))
    (report,) = export_model(ExportRequest(model, ("onnx",), folder=folder / "first"))
    report.artifact.path.rename(folder / "base.onnx")
    figures = {"bytes": report.artifact.bytes, "total": sum(report.artifact.ops.values()), "device": NAME}
    (folder / "checks.toml").write_text(CHECKS.format(**figures))
    return folder


@pytest.fixture(scope="module", autouse=True)
def warm(server: Server, named: Path) -> None:
    """Lets the exports of all checks start where one has been."""
    net = f"{named / 'net.py'}:build"
    server.warm("export", net, "--input-size", 32, "--to", "onnx", "--to", "coreml")


@pytest.fixture
def checks(mac: StandIn, named: Path) -> Path:
    """Returns a file of checks that are just met, with all that it names beside it."""
    shutil.copytree(named, mac.folder / "work", dirs_exist_ok=True)
    mac.times = {"base.onnx": 10.0, "net_build-32x32-fp32.onnx": 11.0, "net_build-32x32-fp32.untrained.onnx": 11.0}
    mac.set()
    return mac.folder / "work" / "checks.toml"


def gates(mac: StandIn) -> tuple[int, dict[str, str]]:
    """Runs the checks; returns the exit code and each gate's status."""
    done = mac.run("check", "checks.toml", "--json")
    found: list[dict[str, Any]] = done.json["checks"]
    assert [item["error"] for item in found] == [None, None], done.err
    return done.code, {
        f"{number} {gate['gate']}": gate["status"] for number, item in enumerate(found) for gate in item["gates"]
    }


@pytest.mark.usefixtures("checks")
def test_one_gate_of_each_kind(mac: StandIn) -> None:
    code, found = gates(mac)
    assert set(found.values()) == {"passed"}, found
    assert code == 0
    assert {name.partition(" ")[2] for name in found} == {
        "parity", "trained", "size", "ops total", "ops Conv", "accuracy", "latency", "neural engine",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "gate"),
    [
        (r'checkpoint = "net.pth"\ninput_size = 32\n\[', "input_size = 32\n[", "0 trained"),
        (r"max_bytes = (\d+)", "max_bytes = 100", "0 size"),
        (r"total = (\d+)", "total = 1", "0 ops total"),
        ("Conv = 1", "Conv = 0", "0 ops Conv"),
        ("max_ratio = 1.2", "max_ratio = 1.05", "0 latency"),
        ("min_share = 0.5", "min_share = 1.0", "1 neural engine"),
    ],
)
def test_each_gate_tightened_fails_alone(old: str, new: str, gate: str, mac: StandIn, checks: Path) -> None:
    text, count = re.subn(old, new, checks.read_text())
    assert count == 1
    checks.write_text(text)
    code, found = gates(mac)
    assert {name for name, status in found.items() if status != "passed"} == {gate}, found
    assert code == 3


@pytest.mark.usefixtures("checks")
def test_without_the_iphone_the_residency_is_undecided(mac: StandIn) -> None:
    mac.set("no_device")
    code, found = gates(mac)
    assert {name for name, status in found.items() if status != "passed"} == {"1 neural engine"}
    assert (found["1 neural engine"], code) == ("undecided", 0)
