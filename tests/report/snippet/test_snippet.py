"""Code for apps: it prepares pictures as ``mvd predict`` does, says what PyTorch says, and holds no name as code."""

import contextlib
import io
import json
import re
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tree_sitter
import tree_sitter_swift
from packaging.requirements import Requirement
from PIL import Image
from typer.testing import Result

from mobilevit_deploy.catalog.formats import formats
from mobilevit_deploy.images.preparation import fit
from mobilevit_deploy.report.snippet.facts import Answer, Facts
from mobilevit_deploy.report.snippet.languages import languages
from mobilevit_deploy.report.snippet.snippet import fill
from mobilevit_deploy.verification.accuracy.detection import counted, in_picture
from tests.report.snippet.pictures import FACTS, NAMES, cases, draw, expected
from tests.support.schemas import check

ANSWERS: Sequence[Answer] = ("logits", "probabilities", "labels", "boxes", "arrays")
SWIFT = tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language()))

ROOT = Path(__file__).parents[3]
Mvd = Callable[..., Result]


@pytest.fixture
def artifact(folder: Path) -> Path:
    return folder / "net_build-24x32-fp32.untrained.onnx"


def run_python(code: str, folder: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns what a snippet prints, run in this process in a folder."""
    monkeypatch.chdir(folder)
    (folder / "predict.py").write_text(code)
    monkeypatch.setattr(sys, "argv", ["predict.py", str(picture)])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path("predict.py")
    return printed.getvalue().strip()


def pytorch(mvd: Mvd, artifact: Path, picture: Path) -> tuple[str, float]:
    """Returns PyTorch's own likeliest class, and its probability."""
    done = mvd("predict", artifact, picture, "--model", f"{artifact.parent / 'net.py'}:build", "--json")
    best = json.loads(done.stdout)["predictions"][0]["reference"][0]
    return best["name"], best["probability"]


def test_python_says_what_pytorch_says(mvd: Mvd, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = artifact.parent / "own" / "picture.png"
    name, probability = pytorch(mvd, artifact, picture)
    document = check("snippet", mvd("snippet", artifact, "--json").stdout)
    assert (document["language"], document["file"]) == ("python", "predict.py")
    code = document["code"]
    assert run_python(code, artifact.parent, picture, monkeypatch) == f"{name} {probability:.4f}"
    # What apps get wrong, one at a time: each is seen on this picture.
    mistakes = {
        "the sides' ratio": ("across = down = max(across, down)", "pass"),
        "no crop": ("/ 0.875)", "/ 1)"),
        "the crop's place": ("left, top = round", "left, top = 0 * round"),
        "blue for red": ("values.transpose(2, 0, 1)", "values[:, :, ::-1].transpose(2, 0, 1)"),
        "rows for columns": ("values.transpose(2, 0, 1)", "values.reshape(3, HEIGHT, WIDTH)"),
        "the kernel": ("BICUBIC", "NEAREST"),
        "half a pixel": ('["BICUBIC"])', '["BICUBIC"], box=(0.5, 0.5, width, height))'),
        "mean and std": ("(values / 255 - np.array(MEAN)) / np.array(STD)", "values / 255"),
        "255": ("values / 255", "values"),
    }
    for mistake, (right, wrong) in mistakes.items():
        assert right in code, mistake
        said = run_python(code.replace(right, wrong), artifact.parent, picture, monkeypatch)
        other, share = said.rsplit(" ", 1)
        assert other != name or abs(float(share) - probability) > 0.003, (
            mistake
        )  # 30 times the last digit that is printed


def test_photographs_are_turned(artifact: Path, mvd: Mvd, monkeypatch: pytest.MonkeyPatch) -> None:
    upright = artifact.parent / "own" / "picture.png"
    lying = artifact.parent / "lying.png"
    with Image.open(upright) as picture:
        exif = picture.getexif()
        exif[0x0112] = 6  # orientation: turned by a quarter to the right when it is shown
        picture.transpose(Image.Transpose.ROTATE_90).save(lying, exif=exif)
    code = mvd("snippet", artifact).stdout
    said = [run_python(code, artifact.parent, path, monkeypatch) for path in (upright, lying)]
    assert said[0] == said[1]


def functions(facts: Facts) -> dict[str, Any]:
    """Returns what the Python code for such a file defines, without its being run."""
    code = fill("onnx", "python", facts).code
    found: dict[str, Any] = {}
    exec(code[: code.index("session = ")], found)  # noqa: S102 - it is our own
    return found


@pytest.mark.parametrize("shape", [(77, 131), (131, 77), (15, 9)])
def test_python_prepares_as_predict_does(tmp_path: Path, shape: tuple[int, int]) -> None:
    picture = draw(tmp_path / "picture.png", *shape)
    for name, facts, preparation in cases():
        size, inside, batch = functions(facts)["prepare"](picture)
        wanted = expected(picture, facts, preparation)
        assert batch.dtype == np.float32
        assert np.array_equal(batch, wanted), name
        assert size == (shape[1], shape[0])
        if facts.rule == "fit":
            resized = fit(shape, (24, 32), preparation).resized
            assert inside == resized[::-1]
            pixels = functions(replace(facts, pixels=True, channels_last=True))["prepare"](picture)[2]
            assert pixels[0, -1, -1].tolist() == [128, 102, 76], "the mean colour, rounded"


Size = tuple[int, int]


def printed(facts: Facts, outputs: Sequence[npt.NDArray[Any]], size: Size, inside: Size) -> list[str]:
    found = io.StringIO()
    with contextlib.redirect_stdout(found):
        functions(facts)["show"](outputs, size, inside)
    return found.getvalue().splitlines()


def test_answers_are_read_as_predict_reads_them() -> None:
    scores = np.array([[0.1, 0.6, 0.3, 0, 0]], np.float32)
    named = replace(FACTS, labels=tuple(NAMES))
    assert printed(replace(named, answer="probabilities"), [scores], (1, 1), (1, 1)) == [f"{NAMES[1]} 0.6000"]
    labels = np.zeros((1, 24, 32), np.int64)
    labels[0, :12, :16], labels[0, 20:] = 3, 4  # below row 20 there is padding
    shares = printed(replace(FACTS, answer="labels", rule="fit"), [labels], (64, 40), (32, 20))
    assert shares == ["class 0 0.7000", "class 3 0.3000"]
    boxes = np.array([[[1, 2, 30, 18], [3, 21, 9, 23], [0, 0, 99, 99], [0, 0, 1, 1]]], np.float32)  # one in the padding
    found = [
        boxes,
        np.array([[0.9, 0.5, 0.4, 0]], np.float32),
        np.array([[2, 1, 1, -1]], np.float32),
        np.array([3], np.float32),
    ]
    lines = printed(replace(named, answer="boxes", rule="fit"), found, (64, 40), (32, 20))
    preparation = next(case[2] for case in cases() if case[0] == "fit")
    own = in_picture(counted([output[0] for output in found]), fit((40, 64), (24, 32), preparation))
    for line, box, score, label in zip(lines, own.boxes, own.scores, own.labels, strict=True):
        numbers = [float(number) for number in re.findall(r"[\d.]+", line.removeprefix(NAMES[int(label)]))]
        assert numbers == pytest.approx([score, *box])
    assert len(lines) == 2
    assert printed(replace(FACTS, answer="arrays"), [scores, boxes], (1, 1), (1, 1)) == ["1x5", "1x4x4"]


def test_no_name_becomes_code() -> None:
    hostile = 'x"; import os; os.abort() #\n*/ \\'
    facts = replace(FACTS, name=hostile, input=hostile, outputs=(hostile,), labels=tuple(NAMES))
    for target, there in languages().items():
        for language in there:
            code = fill(target, language, facts).code
            assert "\n*/" not in code, "a line of the name's own"
            assert 'x\\"; import os' in code, "the name, in a literal"
            assert 'x"; import' not in code
    assert functions(facts)["MODEL"] == hostile.replace("\n", "?")
    assert functions(facts)["LABELS"] == NAMES
    assert "\\$" in fill("litert", "kotlin", facts).code, "it would begin an expression"


def test_what_is_refused_and_written(mvd: Mvd, artifact: Path) -> None:
    done = mvd("snippet", artifact, "--lang", "cobol")
    assert done.exit_code == 2
    assert "--lang python or cpp or javascript or kotlin or swift" in done.stderr
    assert mvd("snippet", "nothere.onnx").exit_code == 1
    assert mvd("snippet", artifact, "--mean", "0.5").exit_code == 2
    done = mvd("snippet", artifact, "--lang", "cpp", "-o", "code/predict.cpp")
    assert "wrote code/predict.cpp: g++" in done.stdout
    assert Path("code/predict.cpp").read_text() == mvd("snippet", artifact, "--lang", "cpp").stdout


def test_every_target_has_its_usual_language_first() -> None:
    assert {target: there[0] for target, there in languages().items()} == {
        name: known.language for name, known in formats().items() if known.language
    }


def test_packages_are_those_that_are_tested() -> None:
    own = {Requirement(text).name: Requirement(text).specifier for text in requires("mobilevit-deploy") or ()}
    for target, there in languages().items():
        for package, versions in fill(target, "python", FACTS).needs.items() if "python" in there else ():
            assert Requirement(package + versions).specifier == own[package]


def test_the_page_of_litert_shows_what_is_printed() -> None:
    (block,) = re.findall(r"```kotlin\n(.*?)```", (ROOT / "docs/how-to/litert.md").read_text(), re.DOTALL)
    facts = replace(FACTS, name="net.tflite", pixels=True, channels_last=True, answer="probabilities", classes=10)
    assert fill("litert", "kotlin", facts).code.endswith(block)


def swift_errors(code: str) -> list[str]:
    """Returns the lines that Swift's grammar does not have; a compiler would find more, and is not to be had here."""

    def lines(node: tree_sitter.Node) -> Iterator[str]:
        if node.is_error or node.is_missing:
            yield code.splitlines()[node.start_point.row]
        for child in node.children if node.has_error else ():
            yield from lines(child)

    return list(lines(SWIFT.parse(code.encode()).root_node))


@pytest.mark.parametrize("target", [name for name, known in languages().items() if "swift" in known])
def test_swift_is_by_its_grammar(target: str) -> None:
    for name, facts, _ in cases():
        for answer in ANSWERS:
            variant = replace(facts, answer=answer, labels=tuple(NAMES), outputs=("a", "b", "c", "d"))
            for pixels in {False, target == "coreml"}:
                code = fill(target, "swift", replace(variant, pixels=pixels)).code
                assert not swift_errors(code), (name, answer, pixels)
    for part in ("func ", "let ", " -> ", "\n}\n"):
        assert swift_errors(code.replace(part, " ", 1)), part
