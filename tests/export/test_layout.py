"""Models that take (N, H, W, C): the file does as well, and is compared on the same images."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from typer.testing import Result

from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.targets.coreml.convert import describe

Mvd = Callable[..., Result]

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        pixels = x.view(x.shape[0], -1, 3)
        assert x.shape[3] == 3
        return self.head(self.stem(x.permute(0, 3, 1, 2)).relu().mean((2, 3))) + pixels.mean((1, 2))[:, None]

def build():
    return Net().eval()

class ChannelsFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, x):
        return self.net(x.permute(0, 2, 3, 1))

def first():
    return ChannelsFirst().eval()

def scripted():
    return torch.jit.trace(Net().eval(), torch.zeros(1, 16, 24, 3))
"""


@pytest.fixture
def command(mvd: Mvd) -> Callable[..., Result]:
    """Runs a command on the model of this page, in a folder of its own."""
    Path("net.py").write_text(NET)
    return mvd


EXPORT = ("export", "net.py:build", "--layout", "nhwc", "--input-size", "16x24", "--json")


def exported(command: Mvd, target: str) -> str:
    """Returns the path of the file for a target, after looking at its report."""
    done = command(*EXPORT, "--to", target)
    assert done.exit_code == 0, done.stderr
    (report,) = json.loads(done.stdout)["artifacts"]
    assert report["input"] == {"name": "input", "shape": [1, 16, 24, 3], "kind": "array"}
    assert report["parity"]["status"] == "passed"
    return str(report["path"])


def test_the_layout_is_found_where_nobody_gives_it(command: Mvd) -> None:
    done = command(*(part for part in EXPORT if part not in ("--layout", "nhwc")), "--to", "onnx")
    assert done.exit_code == 0, done.stderr
    (report,) = json.loads(done.stdout)["artifacts"]
    assert report["input"]["shape"] == [1, 16, 24, 3]
    assert any("(N, H, W, C)" in warning for warning in report["warnings"])
    assert command("verify", str(report["path"]), "--model", "net.py:build").exit_code == 0


def test_a_model_that_takes_neither_is_refused_as_it_stands(command: Mvd) -> None:
    Path("net.py").write_text(NET.replace("assert x.shape[3] == 3", "assert x.shape[3] == 7"))
    done = command("export", "net.py:build", "--input-size", "16x24", "--to", "onnx")
    assert done.exit_code == 1
    assert "(1, 3, 16, 24)" in done.stderr
    assert "--layout nhwc is for (N, H, W, C)" in " ".join(done.stderr.split())


def test_the_file_takes_what_the_model_takes(command: Mvd) -> None:
    path = exported(command, "onnx")
    assert command("verify", path, "--model", "net.py:build").exit_code == 0
    image = np.random.default_rng(0).standard_normal((1, 16, 24, 3)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(path).run(None, {"input": image})
    model = load_model(ModelRequest("net.py:build", size=(16, 24), layout="nhwc"))
    assert model.input_shape == (1, 3, 16, 24)
    with torch.no_grad():
        expected = model.module(torch.from_numpy(image).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_model_of_the_other_layout(command: Mvd) -> None:
    """A file's layout need not be its model's: one that takes (N, C, H, W) is left so, and compared as it is."""
    done = command("export", "net.py:first", *EXPORT[2:], "--to", "onnx")
    assert done.exit_code == 0, done.stderr
    (report,) = json.loads(done.stdout)["artifacts"]
    assert (report["input"]["shape"], report["warnings"]) == ([1, 16, 24, 3], [])
    assert command("verify", str(report["path"]), "--model", "net.py:first").exit_code == 0
    image = np.random.default_rng(0).standard_normal((1, 16, 24, 3)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(report["path"]).run(None, {"input": image})
    model = load_model(ModelRequest("net.py:first", size=(16, 24), layout="nhwc"))
    with torch.no_grad():
        expected = model.module(torch.from_numpy(image).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_package_that_is_converted_again(command: Mvd) -> None:
    path = exported(command, "coreml")
    assert describe(Path(path)).entries[0].shape == (1, 16, 24, 3)
    assert command("verify", path, "--model", "net.py:build", "--tight").exit_code == 0


def test_a_wrong_file_is_caught_and_located(command: Mvd) -> None:
    (report,) = json.loads(command(*EXPORT, "--to", "onnx").stdout)["artifacts"]
    model = onnx.load(report["path"])
    for weight in model.graph.initializer:
        if list(weight.dims) == [4, 3, 3, 3]:
            values = onnx.numpy_helper.to_array(weight)
            weight.CopyFrom(onnx.numpy_helper.from_array(1.01 * values, weight.name))
    onnx.save(model, report["path"])
    failed = command("verify", report["path"], "--model", "net.py:build", "--locate")
    assert failed.exit_code == 3
    assert "first divergence: stem" in failed.stdout


def test_int8_and_images(command: Mvd) -> None:
    done = command(*EXPORT, "--to", "onnx", "--precision", "int8", "--calibrate", "structured")
    assert done.exit_code == 0, done.stderr
    (report,) = json.loads(done.stdout)["artifacts"]
    assert report["input"]["shape"] == [1, 16, 24, 3]
    means = ("--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2")
    done = command(*EXPORT, "--to", "coreml", "--image-input", *means)
    assert done.exit_code == 0, done.stderr
    (report,) = json.loads(done.stdout)["artifacts"]
    assert report["input"]["kind"] == "image"
    assert command("verify", report["path"], "--model", "net.py:build").exit_code == 0


def test_what_does_not_go_with_it(command: Mvd) -> None:
    sizes = command(*EXPORT, "--to", "coreml", "--sizes", "32x48")
    assert sizes.exit_code == 2
    assert "--sizes with --layout nhwc" in sizes.stderr


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_refused(command: Mvd) -> None:
    refused = command("export", "net.py:scripted", "--to", "onnx", "--layout", "nhwc", "--input-size", "16x24")
    assert refused.exit_code == 2
    assert "--layout nhwc for a TorchScript module" in refused.stderr
