"""What a new user tries in the first hour, a line each: the command, its exit code, and what its message must hold.

Interruptions are in ``test_process.py``, full disks in ``tests/export/faults``, hostile files in ``tests/loading`` and
in the tests of each target.
"""

import argparse
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from mobilevit_deploy.cli.app import app

CODE = """
import torch
from torch import nn


def build(classes=4):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)
    )


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = build()

    def forward(self, x):
        return self.net(x)


class Named(Net):
    def forward(self, x):
        return {"logits": self.net(x), "doubled": 2 * self.net(x)}


class Several(Net):
    def forward(self, x):
        return self.net(x), self.net[0](x)


class Gray(Net):
    def forward(self, x):
        return self.net(x.expand(-1, 3, -1, -1))


class Two(Net):
    def forward(self, image, mask):
        return self.net(image * mask)


class Branches(Net):
    def forward(self, x):
        return self.net(x) if x.mean() > 0 else -self.net(x)


def needs(depth):
    return build()


def text():
    return "a network"


ready = build()


def broken():
    raise RuntimeError("no weights here")
"""

# The command as it is typed, its exit code, and what stands in what it prints.
TRIES = [
    # looking round
    ("mvd", 2, ["Usage: mvd", "export", "doctor"]),
    ("mvd --help", 0, ["Usage: mvd", "--install-completion", "latency"]),
    ("mvd --version", 0, ["mvd 0."]),
    (
        "mvd export --help",
        0,
        ["--checkpoint checkpoint_best.pth --to onnx,coreml", "--to TARGET[,TARGET]", "Default: 20.", "-o, --out"],
    ),
    ("mvd list", 0, ["cas_vit_xs", "2.98 M", "timm:NAME"]),
    ("COLUMNS=50 mvd list", 0, ["cas_vit_xs\n  parameters: 2.98 M; MACs:"]),
    ("mvd list --format csv", 0, ["model,parameters,MACs,published top-1,tasks\ncas_vit_xs,2.98 M,"]),
    ("mvd list --format markdown", 0, ["| model | parameters |", r"| cas\_vit\_xs | 2.98 M |"]),
    ("mvd list --format json", 0, ['"schema": 1', '"cas_vit_xs"']),
    ("mvd list --format yaml", 2, ["'yaml' is not one of 'table', 'json', 'csv', 'markdown'"]),
    ("mvd list --json --format csv", 2, ["--json and --format csv: give one of them"]),
    ("mvd list -q -v", 2, ["-q and -v ask for less and for more"]),
    ("mvd show cas_vit_xs", 0, ["licence", "tasks"]),
    ("mvd devices", 0, ["attached iPhones: ", "--backend android"]),
    ("mvd doctor", 0, ["export, verify and measure ONNX"]),
    # typed wrong: 2, at once
    ("mvd exprot cas_vit_xs", 2, ["No such command 'exprot'", "Did you mean 'export'"]),
    ("mvd export", 2, ["Usage: mvd export [OPTIONS] MODEL\n", "Missing argument 'MODEL'. A name from `mvd list`"]),
    ("mvd predict", 2, ["[OPTIONS] ARTIFACT... IMAGE...\n", "Missing argument 'ARTIFACT... IMAGE...'"]),
    ("mvd export tiny.onnx", 2, ["tiny.onnx is no model but a file for a phone", "mvd inspect"]),
    ("mvd inspect other.pth", 2, ["MODEL --checkpoint other.pth"]),
    ("mvd export cas_vit_xs --chekpoint a.pth", 2, ["No such option: --chekpoint", "--checkpoint"]),
    ("mvd export cas_vit_x", 2, ["did you mean 'cas_vit_xs'?"]),
    ("mvd show cas_vit_s", 0, ["licence"]),  # though a file here has that name
    ("mvd show cas_vit_x", 2, ["did you mean 'cas_vit_xs'?"]),
    ("mvd export cas_vit_xs --to onxx", 2, ["there is no target 'onxx'", "did you mean onnx?"]),
    ("mvd export cas_vit_xs --to onnx coreml", 2, ["takes no further argument 'coreml'", "--to onnx,coreml"]),
    ("mvd export cas_vit_xs best.pth", 2, ["did you mean --checkpoint best.pth?"]),
    ("mvd export cas_vit_xs to onnx", 2, ["takes no further argument 'to onnx'", "begin with --"]),
    ("mvd show cas_vit_xs best.pth", 2, ["takes no further argument 'best.pth': names of options"]),
    ("mvd export cas_vit_xs --precision half", 2, ["'half' is not one of 'fp32', 'fp16'"]),
    ("mvd export cas_vit_xs --to onnx --precision w8", 2, ["w8"]),
    ("mvd export cas_vit_xs --to onnx --opset 13", 2, ["opset 13 is outside 18 to 23", "the default is 20"]),
    ("mvd export cas_vit_xs --to coreml --min-ios 14", 2, ["iOS 14 is outside 15 to 18", "the default is 16"]),
    ("mvd export cas_vit_xs --batch 0", 2, ["it should be greater than or equal to 1"]),
    ("mvd export cas_vit_xs --input-size 64,64", 2, ["is no size", "HxW"]),
    ("mvd export cas_vit_xs --input-size 10", 2, ["10"]),
    ("mvd export cas_vit_xs --task clasify", 2, ["'clasify' is not one of 'classify'"]),
    ("mvd export cas_vit_xs --model-arg depth", 2, ["give KEY=VALUE"]),
    ("mvd export my.py:missing", 2, ["my.py has no 'missing'", "build (a function)", "ready (a module)"]),
    ("mvd export my.py:needs --input-size 16", 2, ["needs the argument depth", "--model-arg depth=VALUE"]),
    ("mvd export cas_vit_xs --trained 'run 12' --to onnx", 2, ["--trained is for code of your own"]),
    ("mvd demo --to onxx", 2, ["did you mean onnx?"]),
    ("mvd snippet tiny.mlpackage --lang kotlin", 2, ["give --lang swift or python"]),
    ("mvd export my.py:build --out net.onnx --to coreml", 2, ["is a name for onnx, and --to is coreml", ".mlpackage"]),
    ("mvd export my.py:build --out net.onnx --to onnx,coreml", 2, ["names one file, and there are 2 targets"]),
    ("mvd export my.py:build --out net.onx", 2, ["did you mean net.onnx?"]),
    ("mvd export my.py:build --out folder.onnx", 2, ["is a folder that mvd did not write"]),
    ("mvd quantize my.py:build --out net.mlpackage", 2, ["is a name for coreml, and --to is onnx"]),
    ("mvd latency tiny.onnx tiny.mlpackage", 2, ["these files are for onnxruntime and coreml"]),
    ("mvd latency tiny.onnx --backend cuda", 2, ["there is no backend 'cuda'", "onnxruntime"]),
    ("mvd profile tiny.onnx --require-ne 0.5", 2, ["--require-ne is for an .mlpackage"]),
    ("mvd predict tiny.onnx tiny.mlpackage", 2, ["give pictures behind tiny.mlpackage"]),
    ("mvd predict a.png", 2, ["a.png is no artifact"]),
    ("mvd predict nothere a.png", 1, ["there is no folder nothere"]),
    ("mvd predict other.pth a.png", 1, ["mvd export other.pth makes one of it"]),
    ("mvd predict tiny.onnx deep.png --mean 0,0,0 --std 1,1,1", 1, ["more than 8 bits a channel"]),
    ("mvd predict tiny.onnx a.png --mean 0,0 --std 1,1", 2, ["--mean has 2 values", "one for all channels"]),
    ("mvd export my.py:build --mean 0,0 --std 1,1 --to onnx", 2, ["--mean has 2 values"]),
    ("mvd report --out page.txt", 2, ["does not end in .html"]),
    # found wrong in files or on the machine: 1
    ("mvd export cas_vit_xs --checkpoint nothere.pth", 1, ["there is no checkpoint file nothere.pth"]),
    ("mvd export cas_vit_xs --checkpoint folder.onnx", 1, ["is a folder and no checkpoint"]),
    ("mvd export cas_vit_xs --checkpoint ''", 1, ["--checkpoint names no file"]),
    ("mvd export cas_vit_xs --checkpoint page.pth", 1, ["is a web page, and no checkpoint"]),
    ("mvd export cas_vit_xs --checkpoint pointer.pth", 1, ["git lfs pull"]),
    ("mvd export cas_vit_xs --checkpoint empty.pth --input-size 64", 1, ["empty.pth"]),
    ("mvd export script.pth", 1, ["TorchScript"]),
    ("mvd export other.pth", 1, ["other.pth"]),
    ("mvd export nothere.py:build", 1, ["there is no file nothere.py"]),
    ("mvd verify nothere.onnx", 1, ["there is no artifact nothere.onnx"]),
    ("mvd verify my.py", 1, ["my.py is no artifact"]),
    ("mvd inspect empty.onnx", 1, ["empty.onnx"]),
    ("mvd latency tiny.mlpackage", 1, ["run it on a Mac"]),
    ("mvd latency --out empty", 1, ["there is no .onnx file in empty"]),
    ("mvd check nothere.toml", 1, ["nothere.toml"]),
    ("mvd predict tiny.onnx nothere.png", 1, ["does not say how its images are normalised", "--mean"]),
    ("mvd predict tiny.onnx nothere.png --mean 0,0,0 --std 1,1,1", 1, ["there is no picture nothere.png"]),
    ("mvd export my.py:build --out my.py --to onnx --input-size 16", 1, ["cannot write into my.py"]),
    ("mvd export my.py:build --out /proc/none --to onnx --input-size 16", 1, ["cannot write into /proc/none"]),
    # own models
    (
        "mvd export my.py:build -o net.onnx --input-size 16",
        0,
        ["wrote net.onnx", "net.onnx has random weights, and its name", "or --trained 'where from'"],
    ),
    ("mvd export my.py:build -o net.onnx --input-size 16 -q", 0, ["net.onnx\n"]),
    (
        "COLUMNS=50 mvd export my.py:build -o net.onnx --input-size 16",
        0,
        ["returns  logits 1x4 float32", "mvd latency net.onnx"],
    ),
    (
        "mvd export my.py:build -o net.onnx --input-size 16 -v",
        0,
        ["graph after the rewrites", "ONNX Runtime, optimised"],
    ),
    ("mvd export my.py:build -o 'né t 🙂/net.onnx' --input-size 16", 0, ["mvd latency 'né t 🙂/net.onnx'"]),
    ("mvd export my.py:build -o net.onnx --input-size 16 --model-arg classes=7", 0, ["logits 1x7"]),
    ("mvd export my.py:Net -o net.onnx --input-size 16", 0, ["logits 1x4"]),
    ("mvd export my.py:ready -o net.onnx --input-size 16", 0, ["logits 1x4"]),
    (
        "mvd export my.py:build -o net.onnx --input-size 16 --trained 'run 12'",
        0,
        ["weights: run 12 (the user's word)"],
    ),
    (
        "mvd export my.py:Named --to onnx --task features --input-size 16",
        0,
        ["logits 1x4 float32, doubled 1x4 float32"],
    ),
    ("mvd export my.py:Several --to onnx --task features --input-size 16", 0, ["1x4 float32, ", "1x8x7x7 float32"]),
    ("mvd export my.py:Several -o two.onnx --input-size 16", 0, ["next:\n  mvd latency two.onnx"]),
    ("mvd export my.py:Gray --to onnx --input-size 1x16x16", 0, ["input 1x1x16x16 float32"]),
    (
        "mvd export my.py:Two --to onnx --task features --input image=1x3x16x16 --input mask=1x1x16x16",
        0,
        ["takes    image 1x3x16x16 float32, mask 1x1x16x16 float32"],
    ),
    ("mvd export my.py:Branches --to onnx --input-size 16", 1, ["my.py"]),
    ("mvd export my.py:text", 1, ["returned a str", "nn.Module"]),
    ("mvd export my.py:broken", 1, ["no weights here"]),
    ("mvd export my.py:build --to onnx --input-size 16 --require-trained", 2, ["--checkpoint"]),
    (
        "mvd export my.py:build -o net.onnx --input-size 16 --labels four.txt --mean 0.5,0.5,0.5 --std 0.2,0.2,0.2",
        0,
        ["RGB image, values 0 to 1", "classes  4: ant, bee, cow and 1 more", "mvd predict net.onnx PICTURE\n"],
    ),
    ("mvd export my.py:build -o net.onnx --input-size 16 --labels four.txt --model-arg classes=3", 2, ["has 4 labels"]),
    ("mvd export my.py:build -o net.onnx --checkpoint sized.pth", 0, ["takes    input 1x3x48x32", "images are 48x32"]),
    ("mvd export my.py:build -o net.onnx --checkpoint sized.pth --input-size 16", 0, ["takes    input 1x3x16x16"]),
    # what was written
    (
        "mvd inspect tiny.onnx",
        0,
        ["takes    input 1x3x8x8 float32", "ONNX opset 20, fp32; tiny_net_build, classify, UNTRAINED"],
    ),
    ("mvd inspect my.py:build --to onnx --input-size 16", 0, ["op (ATen)"]),
    ("mvd snippet tiny.onnx --lang py --mean 0,0,0 --std 1,1,1", 2, ["did you mean --lang python?"]),
    ("mvd snippet tiny.onnx -o tiny.onnx", 2, ["is no name for code", ".py"]),
    ("mvd snippet tiny.onnx -o my.py", 2, ["my.py is there, and mvd did not write it"]),
    ("mvd report tiny.onnx", 1, ["is a file, and mvd report reads a folder"]),
    ("mvd snippet tiny.onnx", 1, ["does not say how its images are normalised"]),
    ("mvd snippet tiny.onnx --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5", 0, ["import onnxruntime", "def prepare"]),
    ("mvd verify tiny.onnx --model tiny_net.py:build -q", 0, []),  # whose answer is its exit code
    ("mvd latency tiny.onnx --seconds 0", 2, ["it should be greater than or equal to 0.1"]),
    ("mvd compare tiny.onnx nothere.onnx", 1, ["nothere.onnx"]),
    ("mvd report empty -q", 1, ["there is no report in empty"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, exported: Path) -> Path:
    """A folder with what such a user has: code, checkpoints that are none, and files that were exported before."""
    folder = tmp_path_factory.mktemp("first hour")
    (folder / "my.py").write_text(CODE)
    (folder / "tiny_net.py").write_text((Path(__file__).parents[1] / "research" / "tiny_net.py").read_text())
    for name in ("empty.pth", "empty.onnx", "cas_vit_s"):
        (folder / name).touch()
    for name in ("empty", "folder.onnx"):
        (folder / name).mkdir()
    (folder / "page.pth").write_text("<!DOCTYPE html>")
    (folder / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    torch.save({"other": torch.zeros(3)}, folder / "other.pth")
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(folder / "deep.png")
    (folder / "four.txt").write_text("ant\nbee\ncow\ndog\n")
    sized = {
        "model": runpy.run_path(str(folder / "my.py"))["build"]().state_dict(),
        "args": argparse.Namespace(input_size=[3, 48, 32]),
    }
    torch.save(sized, folder / "sized.pth")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        torch.jit.save(torch.jit.script(torch.nn.ReLU()), folder / "script.pth")
    for suffix in (".onnx", ".mlpackage"):
        (artifact,) = exported.glob(f"*{suffix}")
        (folder / f"tiny{suffix}").symlink_to(artifact)
    return folder


@pytest.mark.parametrize(("line", "code", "says"), TRIES, ids=[line for line, _, _ in TRIES])
def test_a_try(line: str, code: int, says: list[str], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("MVD_CACHE", str(place / "cache"))
    words = shlex.split(line)
    while "=" in words[0]:
        monkeypatch.setenv(*words.pop(0).split("=", 1))
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == code, result.output
    missing = [text for text in says if text not in result.output]
    assert not missing, result.output
    assert all(text == text.rstrip() for text in result.stdout.splitlines()), "padding"
    assert not [path.name for path in place.iterdir() if path.name.startswith(".mvd-")], "something unfinished"
