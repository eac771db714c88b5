"""Code in Python for a LiteRT file answers as ``mvd predict`` does: for an array, and for an image of bytes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.conftest import RESEARCH
from tests.report.snippet.pictures import draw
from tests.report.snippet.test_snippet import run_python

pytestmark = pytest.mark.usefixtures("litert")
Mvd = Callable[..., Result]
MEAN = ("--mean", "0.5,0.4,0.3", "--std", "0.2,0.25,0.3")
LAST = ("--layout", "nhwc")
INT8 = ("--precision", "int8", "--calibrate", "structured", "--int8-io", *MEAN)
IMAGE = ("--image-input", *MEAN)


@pytest.mark.parametrize("own", [(), LAST, INT8, IMAGE, (*IMAGE, "--color", "bgr", "--labels", "labels.txt")])
def test_the_answer_is_that_of_predict(
    mvd: Mvd, tmp_path: Path, own: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = "--image-input" in own
    Path("labels.txt").write_text("\n".join(f"class {i}" for i in range(10)))
    net = f"{RESEARCH / 'tiny_net.py'}:build"
    done = mvd("export", net, "--to", "litert", "--input-size", "24x32", *own)
    assert done.exit_code == 0, done.stderr
    (artifact,) = Path("artifacts").absolute().glob("*.tflite")
    picture, said = draw(tmp_path / "picture.png"), () if "--mean" in own else MEAN
    predicted = mvd("predict", artifact, picture, "--top", 1, "--json", *said).stdout
    best = json.loads(predicted)["predictions"][0]["found"][0]
    code = mvd("snippet", artifact, "--lang", "python", *said).stdout
    assert ("np.uint8" in code) == pixels
    assert run_python(code, artifact.parent, picture, monkeypatch) == f"{best['name']} {best['probability']:.4f}"
