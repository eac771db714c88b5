"""What an artifact says of pictures: prepared as it says itself, and read as what it returns."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image
from typer.testing import Result

from mobilevit_deploy.catalog.decision import SuppressionRule
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.capture import TensorSpec
from mobilevit_deploy.images.preparation import Fit
from mobilevit_deploy.pipeline.provenance import HeadNote, Provenance, parse
from mobilevit_deploy.targets.artifact import Entry, FileDescription
from mobilevit_deploy.verification.accuracy.detection import Detections
from mobilevit_deploy.verification.prediction.reading import reading_of
from tests.conftest import RESEARCH
from tests.support.schemas import check

Mvd = Callable[..., Result]
CLASSES = ["red left", "green left", "blue left", "red right", "green right", "blue right"]
CODE = """import torch
from torch import nn

class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x):
        sides = torch.stack([x[..., :2], x[..., -2:]], dim=1)  # no resizing mixes the halves so far from their border
        return sides.mean(dim=(3, 4)).flatten(1) * self.scale

def build():
    return Halves()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Code of a model that says how red, green and blue a picture's halves are, and a picture: red, then blue."""
    folder = tmp_path_factory.mktemp("halves")
    (folder / "net.py").write_text(CODE)
    (folder / "labels.txt").write_text("\n".join(CLASSES))
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20, 0] = 255
    pixels[:, 20:, 2] = 180
    (folder / "pictures").mkdir()
    Image.fromarray(pixels).save(folder / "pictures" / "halves.png")
    Image.fromarray(pixels[:, ::-1]).save(folder / "pictures" / "mirrored.png")
    return folder


@pytest.fixture
def artifact(mvd: Mvd, folder: Path) -> Path:
    """The model as a file: the first test makes it. What is noted of its images is how they are measured."""
    made = folder / "out" / "net_build-8x8-fp32.untrained.onnx"
    if not made.exists():
        own = ("--images", folder / "pictures", "--mean", "0.5,0.4,0.3", "--std", "0.2,0.25,0.3")
        code = f"{folder / 'net.py'}:build"
        done = mvd("export", code, "--to", "onnx", "--input-size", 8, "--out", folder / "out", *own)
        assert done.exit_code == 0, done.stderr
    return made


def answers(mvd: Mvd, *arguments: object) -> list[dict[str, Any]]:
    done = mvd("predict", *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    predictions: list[dict[str, Any]] = check("predict", done.stdout)["predictions"]
    return predictions


def test_colours_and_sides_are_where_they_are(mvd: Mvd, artifact: Path, folder: Path) -> None:
    labels = ("--labels", folder / "labels.txt")
    (found,) = answers(mvd, artifact, folder / "pictures" / "halves.png", *labels, "--top", 6)
    assert found["drawn"] is None, "classes of one picture are no picture"
    shares = {item["name"]: item["probability"] for item in found["found"]}
    # By hand: each colour is normalised, and softmax is over the six.
    values = np.array([255, 0, 0, 0, 0, 180]) / 255
    logits = (values - np.array([0.5, 0.4, 0.3] * 2)) / np.array([0.2, 0.25, 0.3] * 2)
    expected = np.exp(logits) / np.exp(logits).sum()
    assert [shares[name] for name in CLASSES] == pytest.approx(expected, rel=1e-5)  # float32, few sums
    (mirrored,) = answers(mvd, artifact, folder / "pictures" / "mirrored.png", *labels, "--top", 1)
    assert [item["name"] for item in mirrored["found"]] == ["red right"]


def test_a_folder_gives_a_contact_sheet_and_pytorch_beside(mvd: Mvd, artifact: Path, folder: Path) -> None:
    code = f"{folder / 'net.py'}:build"
    done = mvd("predict", artifact, folder / "pictures", "--model", code, "--out", "drawn")
    assert done.exit_code == 0, done.stderr
    assert "class 0" in done.stdout
    assert "PyTorch" in done.stdout
    assert "random" in done.stdout, "nobody takes such answers for those of a trained model"
    (sheet,) = Path("drawn").iterdir()
    assert str(sheet) in done.stdout
    with Image.open(sheet) as drawn:
        assert drawn.width > 640, "two pictures, each twice"
    for item in answers(mvd, artifact, folder / "pictures", "--model", code, "--out", "drawn"):
        pairs = zip(item["found"], item["reference"], strict=True)
        assert all(one["probability"] == pytest.approx(other["probability"], rel=1e-5) for one, other in pairs)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_what_was_said_at_the_export_is_not_said_again(mvd: Mvd, folder: Path, order: str) -> None:
    code, picture = f"{folder / 'net.py'}:build", folder / "pictures" / "halves.png"
    means = ("--mean", "0.5,0.4,0.3", "--std", "0.2,0.25,0.3")
    said = (*means, "--color", order, "--labels", folder / "labels.txt")
    done = mvd("export", code, "--to", "onnx", "--input-size", 8, "--out", f"{order}.onnx", *said)
    assert done.exit_code == 0, done.stderr
    (found,) = answers(mvd, f"{order}.onnx", picture, "--top", 6)
    # Mean and std are in the model's order, so its first channel is the picture's blue where it was trained on BGR.
    left, right = [255, 0, 0], [0, 0, 180]
    channels = [*left, *right] if order == "rgb" else [*left[::-1], *right[::-1]]
    logits = (np.array(channels) / 255 - np.array([0.5, 0.4, 0.3] * 2)) / np.array([0.2, 0.25, 0.3] * 2)
    expected = np.exp(logits) / np.exp(logits).sum()
    shares = {item["name"]: item["probability"] for item in found["found"]}
    assert [shares[name] for name in CLASSES] == pytest.approx(expected, rel=1e-5)  # float32, few sums


@pytest.mark.parametrize("target", ["onnx", "coreml"])
def test_a_softmax_is_not_taken_once_more(mvd: Mvd, folder: Path, target: str) -> None:
    code = CODE.replace("* self.scale", "* self.scale).softmax(-1)").replace("return sides", "return (sides")
    Path("soft.py").write_text(code)
    said = ("--mean", "0.5,0.4,0.3", "--std", "0.2,0.25,0.3", "--labels", folder / "labels.txt")
    done = mvd("export", "soft.py:build", "--to", target, "--input-size", 8, "--precision", "fp32", "--out", "o", *said)
    assert done.exit_code == 0, done.stderr
    assert "probabilities" in done.stdout
    (made,) = (path for path in Path("o").iterdir() if path.suffix in (".onnx", ".mlpackage"))
    (found,) = answers(mvd, made, folder / "pictures" / "halves.png", "--top", 6, "--model", "soft.py:build")
    values = np.array([255, 0, 0, 0, 0, 180]) / 255
    logits = (values - np.array([0.5, 0.4, 0.3] * 2)) / np.array([0.2, 0.25, 0.3] * 2)
    expected = np.exp(logits) / np.exp(logits).sum()
    for item in (found["found"], found["reference"]):
        shares = {one["name"]: one["probability"] for one in item}
        assert [shares[name] for name in CLASSES] == pytest.approx(expected, rel=1e-4)  # float32, eight sums
    assert mvd("verify", made, "--model", "soft.py:build").exit_code == 0


def test_a_picture_of_a_folder_that_cannot_be_read_is_left_out(mvd: Mvd, artifact: Path, folder: Path) -> None:
    shutil.copytree(folder / "pictures", "mixed")
    (Path("mixed") / "broken.png").write_bytes(b"\x89PNG\r\n")
    done = mvd("predict", artifact, "mixed", "--json")
    document = check("predict", done.stdout)
    assert [Path(item["image"]).name for item in document["predictions"]] == ["halves.png", "mirrored.png"]
    assert any("broken.png" in warning for warning in document["warnings"])


def test_several_files_and_their_folder_answer_beside_each_other(mvd: Mvd, artifact: Path, folder: Path) -> None:
    picture = folder / "pictures" / "halves.png"
    (Path("both") / "again.onnx").parent.mkdir()
    for name in ("first.onnx", "again.onnx"):
        (Path("both") / name).write_bytes(artifact.read_bytes())
    named, inside = (
        check("predict", mvd("predict", *given, picture, "--json").stdout)["results"]
        for given in (("both/again.onnx", "both/first.onnx"), ("both",))
    )
    assert named == inside
    assert [result["artifact"] for result in named] == ["both/again.onnx", "both/first.onnx"]
    done = mvd("predict", "both", folder / "pictures", "--top", 1, "--format", "csv")
    rows = [line.split(",") for line in done.stdout.splitlines()]
    assert rows[0] == ["artifact", "picture", "no.", "class", "probability"]
    assert [(row[0], Path(row[1]).name) for row in rows[1:]] == [
        (name, picture) for name in ("again.onnx", "first.onnx") for picture in ("halves.png", "mirrored.png")
    ]
    quiet = mvd("predict", artifact, folder / "pictures", "-q")
    assert "class" in quiet.stdout, "the answers are the result"


def test_what_is_refused(mvd: Mvd, artifact: Path, folder: Path) -> None:
    picture = folder / "pictures" / "halves.png"
    (few := Path("few.txt")).write_text("a\nb")
    (none := Path("none")).mkdir()
    foreign = onnx.load(artifact)
    del foreign.metadata_props[:]
    onnx.save(foreign, "foreign.onnx")
    for code, message, arguments in (
        (2, "has 2 labels", (artifact, picture, "--labels", few)),
        (1, "has no images", (artifact, none)),
        (1, "is no image", (artifact, few)),
        (1, "there is no artifact", ("nothere.onnx", picture)),
        (1, "was not written by mvd", ("foreign.onnx", picture)),
        (1, "runs no code that a file names", (artifact, picture, "--reference")),
    ):
        done = mvd("predict", *arguments)
        assert (done.exit_code, message in done.stderr) == (code, True), done.stderr


def test_a_file_that_does_not_say_how_images_are_prepared(mvd: Mvd, folder: Path) -> None:
    code = f"{RESEARCH / 'tiny_net.py'}:build"
    assert mvd("export", code, "--to", "onnx", "--input-size", 8, "--out", "o").exit_code == 0
    (made,) = Path("o").glob("*.onnx")
    done = mvd("predict", made, folder / "pictures")
    assert done.exit_code == 1
    assert "--mean" in done.stderr
    (first, _) = answers(mvd, made, folder / "pictures", "--mean", "0,0,0", "--std", "1,1,1")
    (second, _) = answers(mvd, made, folder / "pictures", "--mean", "0,0,0", "--std", "0.1,0.1,0.1")
    assert first["found"] != second["found"]


def test_odd_notes_of_names_are_none(artifact: Path) -> None:
    metadata = {item.key: item.value for item in onnx.load(artifact).metadata_props}
    for text, names in (
        ('["a", 1]', ()),
        ("{}", ()),
        (json.dumps(["\x1b[2J", "b" * 900]), ("?[2J", "b" * 200)),
    ):
        noted = parse(metadata | {"mvd.classes": text}, "x")
        assert noted is not None
        assert noted.classes == names


NOTED = Provenance(model="m", task="detect", trained=True, weights="w", recipe="onnx", precision="fp32")


def description(*shapes: tuple[int, ...]) -> FileDescription:
    outputs = tuple(TensorSpec(f"o{i}", shape) for i, shape in enumerate(shapes))
    return FileDescription(Path("m.onnx"), "onnx", {}, (Entry((1, 3, 32, 32)),), outputs)


def test_boxes_are_chosen_as_an_app_would_and_are_in_the_pictures_own_pixels() -> None:
    rule = SuppressionRule(candidates=10, score_threshold=0.3, iou_threshold=0.5, max_detections=10)
    noted = NOTED.model_copy(update={"head": HeadNote(output="boxes", num_classes=2, suppression=rule)})
    read = reading_of(description((1, 3, 4), (1, 3, 2)), noted, 5)
    boxes = np.array([[0, 0, 16, 16], [0, 0, 16, 15], [16, 16, 32, 32]], np.float32)
    scores = np.array([[0.9, 0], [0.8, 0], [0, 0.7]], np.float32)
    found = read([boxes, scores], Fit((64, 64), (32, 32)))
    assert isinstance(found, Detections)
    assert found.boxes.tolist() == [[0, 0, 32, 32], [32, 32, 64, 64]]
    assert found.labels.tolist() == [0, 1]


def test_label_maps_have_the_pictures_size_without_its_padding() -> None:
    noted = NOTED.model_copy(update={"task": "segment", "head": HeadNote(output="labels", num_classes=2)})
    labels = np.zeros((32, 32), np.float32)
    labels[:16, 16:] = 1
    found = reading_of(description((1, 32, 32)), noted, 5)([labels], Fit((50, 100), (16, 32)))
    assert isinstance(found, np.ndarray)
    assert found.shape == (50, 100)
    assert (found == (np.arange(100) >= 50)).all()


@pytest.mark.parametrize(("task", "output"), [("detect", "raw"), ("features", None)])
def test_what_is_no_answer_is_refused(task: str, output: str | None) -> None:
    head = HeadNote.model_validate({"output": output, "num_classes": 2}) if output else None
    noted = NOTED.model_copy(update={"task": task, "head": head})
    with pytest.raises(ArtifactError, match="is no answer that can be shown"):
        reading_of(description((1, 8, 4, 4)), noted, 5)


def test_scores_that_are_not_finite_are_no_answer() -> None:
    read = reading_of(replace(description((1, 2))), NOTED.model_copy(update={"task": "classify"}), 5)
    with pytest.raises(ArtifactError, match="infinite or NaN"):
        read([np.array([1, np.nan], np.float32)], Fit((1, 1), (1, 1)))
