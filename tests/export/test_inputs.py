"""Models that take more than one image: the file has all inputs, and parity is measured with all of them."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from typer.testing import Result

from mobilevit_deploy.catalog.tensor_input import parse_input
from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.registry import describe_file

Mvd = Callable[..., Result]

NET = """
import torch
from torch import nn

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(1, 4, 3, 2)
        self.head = nn.Linear(4, 5)

    def forward(self, image, depth):
        return self.head((self.left(image).relu() * self.right(depth).sigmoid()).mean((2, 3)))

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.table, self.head = nn.Conv2d(3, 4, 3, 2), nn.Embedding(20, 4), nn.Linear(4, 5)

    def forward(self, image, scale=None, *, ids):
        x = self.stem(image).flatten(2).transpose(1, 2)
        found = (self.table(ids) @ x.transpose(1, 2)).softmax(-1) @ x
        return {"words": self.head(found if scale is None else found * scale)}

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image, mask):
        x = torch.where(mask, self.stem(image), 0.0)
        return x.sum((2, 3)) / (~mask).sum((2, 3)).clamp(min=1), mask.any(dim=(2, 3))

class Ignores(Pair):
    def forward(self, image, depth):
        return self.left(image).mean((2, 3))

class Listed(Pair):
    def forward(self, *images):
        return super().forward(*images)

def pair(): return Pair()
def words(): return Words()
def masked(): return Masked()
def ignores(): return Ignores()
def listed(): return Listed()
"""

PAIR = ("--input", "image=1x3x16x24", "--input", "depth=1x1x16x24")
WORDS = ("--input", "ids=1x7:int64[0,20)", "--input", "image=1x3x16x16")
MASKED = ("--input", "image=1x3x12x12", "--input", "mask=1x1x12x12:bool")


@pytest.fixture
def command(mvd: Mvd) -> Callable[..., Result]:
    """Runs a command on the models of this page, in a folder of its own."""
    Path("net.py").write_text(NET)
    return mvd


def exported(command: Mvd, name: str, *options: str) -> dict[str, Any]:
    """Returns the report of an export that passed, and whose file passes again by itself."""
    done = command("export", f"net.py:{name}", "--json", *options)
    assert done.exit_code == 0, done.stderr
    (report,) = json.loads(done.stdout)["artifacts"]
    again = command("verify", report["path"], "--model", f"net.py:{name}", "--json")
    assert again.exit_code == 0, again.stderr
    return dict(report)


def test_two_images_in_onnx(command: Mvd) -> None:
    report = exported(command, "pair", "--to", "onnx", *PAIR)
    assert report["input"] == {"name": "image", "shape": [1, 3, 16, 24], "kind": "array"}
    assert report["inputs"] == [
        {"name": "image", "shape": [1, 3, 16, 24], "type": "float32"},
        {"name": "depth", "shape": [1, 1, 16, 24], "type": "float32"},
    ]
    assert {tuple(leg["size"]) for leg in report["parity"]["legs"]} == {(16, 24)}
    rng = np.random.default_rng(0)
    fed = {item["name"]: rng.standard_normal(item["shape"]).astype(np.float32) for item in report["inputs"]}
    (found,) = onnxruntime.InferenceSession(report["path"]).run(None, fed)
    inputs = tuple(parse_input(text) for text in PAIR[1::2])
    model = load_model(ModelRequest("net.py:pair", inputs=inputs))
    with torch.no_grad():
        expected = model.module(*(torch.from_numpy(value) for value in fed.values())).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_two_images_in_core_ml(command: Mvd) -> None:
    report = exported(command, "pair", "--to", "coreml", *PAIR)
    assert [spec.name for spec in describe_file(Path(report["path"])).inputs] == ["image", "depth"]
    assert command("verify", report["path"], "--model", "net.py:pair", "--tight").exit_code == 0


def test_integers_by_name_and_in_another_order(command: Mvd) -> None:
    report = exported(command, "words", "--to", "onnx", *WORDS)
    session = onnxruntime.InferenceSession(report["path"])
    assert [(item.name, item.type) for item in session.get_inputs()] == [
        ("ids", "tensor(int64)"),
        ("image", "tensor(float)"),
    ]
    assert [output["name"] for output in report["outputs"]] == ["words"]
    exported(command, "words", "--to", "coreml", *WORDS)


def test_truth_values(command: Mvd) -> None:
    report = exported(command, "masked", "--to", "onnx", *MASKED)
    assert onnxruntime.InferenceSession(report["path"]).get_inputs()[1].type == "tensor(bool)"
    package = exported(command, "masked", "--to", "coreml", *MASKED)
    runner = MilRunner(Path(package["path"]))
    image = np.ones((1, 3, 12, 12), np.float32)
    means = [runner.run({"image": image, "mask": np.full((1, 1, 12, 12), value)})[0] for value in (False, True)]
    assert not means[0].any()
    assert means[1].any()


def test_a_forward_without_names(command: Mvd) -> None:
    exported(command, "listed", "--to", "onnx", *PAIR)


@pytest.mark.parametrize("name", ["pair", "words", "masked"])
def test_wrong_weights_are_caught(command: Mvd, name: str) -> None:
    options = {"pair": PAIR, "words": WORDS, "masked": MASKED}[name]
    report = exported(command, name, "--to", "onnx", *options)
    model = onnx.load(report["path"])
    weight = next(item for item in model.graph.initializer if len(item.dims) == 4)
    weight.CopyFrom(onnx.numpy_helper.from_array(1.001 * onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save(model, report["path"])
    failed = command("verify", report["path"], "--model", f"net.py:{name}")
    assert failed.exit_code == 3, failed.stderr


def test_a_wrong_second_branch_is_caught_and_located(command: Mvd) -> None:
    report = exported(command, "pair", "--to", "onnx", *PAIR)
    model = onnx.load(report["path"])
    weight = next(item for item in model.graph.initializer if list(item.dims) == [4, 1, 3, 3])
    weight.CopyFrom(onnx.numpy_helper.from_array(1.01 * onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save(model, report["path"])
    failed = command("verify", report["path"], "--model", "net.py:pair", "--locate")
    assert failed.exit_code == 3
    assert "first divergence: right" in failed.stdout


def test_a_file_that_says_other_inputs(command: Mvd) -> None:
    report = exported(command, "pair", "--to", "onnx", *PAIR)
    right = onnx.load(report["path"])

    def verify_noted(text: str | None) -> Result:
        model = copy.deepcopy(right)
        noted = {item.key: item.value for item in model.metadata_props}
        noted.pop("mvd.inputs")
        onnx.helper.set_model_props(model, noted if text is None else {**noted, "mvd.inputs": text})
        onnx.save(model, report["path"])
        return command("verify", report["path"], "--model", "net.py:pair")

    for text, reason in (
        (None, "does not say what values they take"),
        ('["image=1x3x16x24", "depth=1x1x16x32"]', "was exported, it says, with"),
        ('["image=1x3x16x24"]', "was exported, it says, with"),
        ('["image=1x3x16x24", "image=1x3x16x24"]', "malformed"),
        ("7", "malformed"),
    ):
        refused = verify_noted(text)
        assert refused.exit_code == 1
        assert reason in " ".join(refused.stderr.split())


def test_compare_and_inspect(command: Mvd) -> None:
    package = exported(command, "pair", "--to", "coreml", *PAIR)
    refused = command("compare", package["path"], package["path"])
    assert "has the inputs image, depth, where mvd compare feeds one image" in " ".join(refused.stderr.split())
    looked = command("inspect", "net.py:pair", "--to", "onnx", *PAIR, "--json")
    assert looked.exit_code == 0, looked.stderr


@pytest.mark.parametrize(
    ("name", "options", "code", "reason"),
    [
        ("pair", ("--input-size", "16x24"), 1, "--input image=1x3x16x24 --input depth=1xN:TYPE"),
        ("pair", PAIR[:2], 2, "forward needs image, depth, and there is no --input depth"),
        ("pair", (*PAIR[:2], "--input", "dept=1x1x16x24"), 2, "--input dept, but forward takes image, depth"),
        ("words", (*WORDS[2:], "--input", "ids=1x7"), 1, "are the sizes and the types of --input right?"),
        ("pair", (*PAIR, "--input-size", "16"), 2, "--input-size with --input"),
        ("pair", (*PAIR, "--batch", "2"), 2, "--batch with --input"),
        ("pair", (*PAIR, "--layout", "nhwc"), 2, "--layout nhwc with --input"),
        ("pair", (*PAIR, "--precision", "int8", "--calibrate", "structured"), 2, "with --input"),
        ("pair", (*PAIR, "--to", "executorch"), 2, "executorch files are verified with one image only"),
        ("ignores", PAIR, 1, "the input depth changes nothing"),
    ],
)
def test_what_does_not_go_with_it(command: Mvd, name: str, options: tuple[str, ...], code: int, reason: str) -> None:
    refused = command("export", f"net.py:{name}", "--to", "onnx", *options)
    assert refused.exit_code == code, refused.stderr
    assert reason in " ".join(refused.stderr.split())


def test_a_type_that_core_ml_has_not(command: Mvd) -> None:
    options = ("--input", "image=1x3x16x24", "--input", "depth=1x1x16x24:uint8")
    Path("net.py").write_text(NET.replace("self.right(depth)", "self.right(depth.float() / 255)"))
    exported(command, "pair", "--to", "onnx", *options)
    refused = command("export", "net.py:pair", "--to", "coreml", *options)
    assert refused.exit_code == 1
    assert "takes no arrays of uint8, as the input depth is" in " ".join(refused.stderr.split())


def test_a_model_of_the_catalog_takes_one_image() -> None:
    with pytest.raises(UsageError, match="cas_vit_xs takes one image"):
        load_model(ModelRequest("cas_vit_xs", inputs=(parse_input("image=1x3x224x224"),)))
