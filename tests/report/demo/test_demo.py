"""``mvd demo``: what it leaves, and that each file knows the digit; and pictures on the page of a folder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import Result

from mobilevit_deploy.images.image_files import ImageFiles
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.report.demo import data, run
from tests.report.sample import Page
from tests.support.recorded import GOLDEN
from tests.support.schemas import check

Mvd = Callable[..., Result]


@pytest.mark.usefixtures("shallow")
def test_each_file_says_what_the_picture_shows(mvd: Mvd, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the model of two blocks; the page of the demo runs it as it is, among the slow tests."""
    monkeypatch.setattr(run, "CHECKPOINT", GOLDEN / "cas_vit_few_digits64.safetensors")
    result = mvd("demo", "--to", "onnx", "--out", "here", "--json")
    assert result.exit_code == 0, result.stderr
    made = check("demo", result.stdout)
    (item,) = made["artifacts"]
    assert Path(item["path"]).exists()
    assert (item["target"], item["found"][0]["label"], item["parity"]) == ("onnx", data.DIGIT, "passed")
    assert item["max_rel"] < 1e-5
    assert "mvd latency here/cas_vit_xs-64x64-fp32.onnx --threads 1" in made["next"]

    page = Page(Path(made["page"]).read_text())
    (picture,) = page.of("img")
    assert picture["alt"].startswith("digit.png: class 2, ")
    assert page.loads() == []
    policy = next(meta for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

    again = mvd("demo", "--to", "onnx", "--out", "here")  # the export is kept
    assert again.stdout.startswith("here/digit.png shows a handwritten 2.")
    assert "ONNX: class 2, " in again.stdout
    assert max(map(len, again.stdout.partition("Not installed")[0].splitlines()[:4])) <= 80

    document = check("report", mvd("report", "here", "--image", "here/digit.png", "--json").stdout)
    assert document["image"] == "here/digit.png"
    assert document["artifacts"][0]["prediction"]["found"][0]["label"] == data.DIGIT
    Path(item["path"]).write_bytes(b"another")
    document = check("report", mvd("report", "here", "--image", "here/digit.png", "--json").stdout)
    answer = {"found": None, "reason": "the file is not the one that its report is of"}
    assert document["artifacts"][0]["prediction"] == answer


def test_what_comes_with_the_package_belongs_together() -> None:
    model = load_model(ModelRequest(data.MODEL, checkpoint=data.CHECKPOINT, size=(data.SIZE, data.SIZE)))
    assert model.preprocessing is not None
    whole = ImageFiles.of([data.PICTURE], (3, data.SIZE, data.SIZE), model.preprocessing)
    image = replace(whole, preparation=model.preprocessing)[0:1]
    with torch.no_grad():
        logits = model.module(torch.from_numpy(image))
    assert logits.shape == (1, 10)
    assert int(logits.argmax()) == data.DIGIT
    assert data.CHECKPOINT.stat().st_size < 6 * 2**20, "it is a part of every installation"
    origin = data.CHECKPOINT.with_name("README.md").read_text()
    for text in (data.CHECKPOINT.name, data.PICTURE.name, "Apache-2.0", "CC BY 4.0"):
        assert text in origin


def test_a_file_without_an_answer_says_why(mvd: Mvd, real_folder: Path) -> None:
    Image.new("RGB", (40, 40), "red").save("red.png")
    result = mvd("report", real_folder, "--image", "red.png", "--out", "page.html")
    assert result.exit_code == 0, result.stderr
    page = Page(Path("page.html").read_text())
    assert page.of("img") == []
    assert "does not say how its images are normalised" in page.text
    assert "No picture was given" not in page.text
    assert mvd("report", real_folder, "--out", "plain.html").exit_code == 0
    assert "mvd report DIR --image PICTURE" in Page(Path("plain.html").read_text()).text


@pytest.mark.parametrize(
    ("name", "message"), [("none.png", "there is no picture none.png"), ("t.txt", "t.txt is no image")]
)
def test_a_picture_that_is_none(mvd: Mvd, real_folder: Path, name: str, message: str) -> None:
    Path("t.txt").write_text("x")
    result = mvd("report", real_folder, "--image", name, "--out", "page.html")
    assert result.exit_code == 1
    assert message in result.stderr
    assert not Path("page.html").exists()


def test_a_folder_that_cannot_be_written(mvd: Mvd) -> None:
    Path("taken").write_text("a file")
    result = mvd("demo", "--to", "onnx", "--out", "taken", "--json")
    assert result.exit_code == 1
    assert "cannot write into taken" in result.stderr
    assert result.stdout == ""
    assert Path("taken").read_text() == "a file"
