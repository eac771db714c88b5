"""Every command of the README and of the documentation is run as it stands there.

A page is a case. The pages of one process share a folder and its kept exports: what one of them exports, others have.
"""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from mobilevit_deploy.cli.app import app
from tests.conftest import RESEARCH
from tests.golden.digits import MEAN, STD, digit_images
from tests.project.pages import ELSEWHERE, README, blocks, commands, pages
from tests.report.matrix.sample import made_up, write

PAGES = {path: text for path, text in pages().items() if set(commands(text)) - ELSEWHERE}
# What the examples begin with.
FIRST = "export cas_vit_xs --checkpoint checkpoint_best.pth --input-size 64 --to onnx --to coreml"

# What a page must leave, by the page.
LEFT = {
    README: ["my_net_build-256x192-fp16.untrained.mlpackage", "report.html"],
    "docs/start/checkpoint.md": ["cas_vit_xs-64x64-fp32.onnx"],
    "docs/start/your-model.md": ["my_net_build-256x192-fp32.untrained.onnx"],
    "docs/start/iphone-app.md": ["my_net_build-64x64-fp16.untrained.mlpackage"],
    "docs/how-to/quantize.md": ["cas_vit_xs-64x64-int8.onnx", "cas_vit_xs-64x64-fp16.onnx"],
    "docs/how-to/executorch.md": ["cas_vit_xs-64x64-fp32.pte", "cas_vit_xs-64x64-int8.pte"],
    "docs/how-to/coreai.md": ["cas_vit_xs-64x64-fp16.aimodel"],
    "docs/how-to/own-heads.md": ["own_heads_yolo-64x64-fp32.untrained.onnx"],
    "docs/how-to/sweep.md": ["../sweep/sweep.json", "../out/sweep.xml", "../parts/sweep.json", "../out/mvd.sarif"],
    "docs/how-to/ci.md": ["../out/summary.md", "../baselines/digits.onnx"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, digits_checkpoint: Path) -> Path:
    """The folder that the pages are read in, with the files that their examples name."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copy(digits_checkpoint, folder / "checkpoint_best.pth")
    shutil.copy(RESEARCH / "additive_net.py", folder / "my_net.py")
    shutil.copy(RESEARCH / "own_heads.py", folder)
    shutil.copy(RESEARCH / "heads" / "yolo.toml", folder)
    write(made_up(44, seed=1), folder / "nightly")
    write(made_up(44), folder / "last-night")
    images, labels = digit_images()
    (folder / "pictures").mkdir()
    for number, image in enumerate(images[:3]):
        pixels = (255 * (image * STD.numpy()[0] + MEAN.numpy()[0])).round().astype(np.uint8)
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / "pictures" / f"{number}.png")
    shutil.copy(folder / "pictures" / "0.png", folder / "picture.png")
    for name, part in (
        ("digits", slice(40)),
        ("train", slice(40, 80)),
        ("calibration", slice(40, 80)),
        ("test", slice(80, 120)),
    ):
        np.savez(folder / f"{name}.npz", images=images[part], labels=labels[part])
    return folder


@pytest.fixture
def mvd_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Result]:
    """Runs a command line in that folder."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MVD_DEBUG", raising=False)
    monkeypatch.setenv("MVD_CACHE", str(folder / "kept"))
    return lambda command: CliRunner().invoke(app, shlex.split(command))


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES)
def test_every_command_of_a_page_works(path: str, mvd_there: Callable[[str], Result]) -> None:
    assert mvd_there(FIRST).exit_code == 0
    for block in blocks(PAGES[path], "toml"):
        if "[[check]]" in block:
            Path("checks.toml").write_text(block)
        if "[[adjust]]" in block:
            Path("sweep.toml").write_text(block)
    for command in commands(PAGES[path]):
        if command in ELSEWHERE:
            continue
        program, _, line = command.partition(" ")
        assert program == "mvd", f"{command}: a block marked sh has commands of mvd, and what is in ELSEWHERE"
        result = mvd_there(line)
        assert result.exit_code == 0, f"{command}\n{result.output}"
    for name in LEFT.get(path, []):
        assert (Path("artifacts") / name).exists(), name


def test_every_page_that_must_leave_something_has_commands() -> None:
    assert set(LEFT) <= set(PAGES)


@pytest.mark.slow
def test_the_examples_of_the_python_page_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("checkpoint_best.pth", "picture.png"):
        shutil.copy(folder / name, name)
    names: dict[str, Any] = {}
    for block in blocks(pages()["docs/how-to/python.md"], "python"):
        exec(block, names)  # noqa: S102 - our own page
    assert names["check"].failed, "the page's check asks for trained weights, and gives none"
    assert {"inspection", "profile", "pair", "latency", "report"} <= names.keys()
