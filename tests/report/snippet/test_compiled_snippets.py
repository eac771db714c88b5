"""Code in C++, JavaScript and Kotlin, compiled and run: slow, and with tools that a test of Python needs not.

They lie in the folder that ``MVD_SNIPPET_TOOLS`` names: ``node_modules`` with ``onnxruntime-node``, ``sharp`` and
``kotlin-compiler`` of npm, and ``onnxruntime`` with a release package of ONNX Runtime. ``stb_image.h`` is where
Debian's libstb-dev puts it.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from mobilevit_deploy.cli.app import app
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.report.snippet.facts import Answer, Facts
from mobilevit_deploy.report.snippet.snippet import fill
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from tests.conftest import RESEARCH, small_pyramid
from tests.report.snippet.pictures import FACTS, NAMES, cases, draw, expected
from tests.report.snippet.test_snippet import pytorch, run_python

pytestmark = pytest.mark.slow
Mvd = Callable[..., Result]
TOOLS = Path(os.environ.get("MVD_SNIPPET_TOOLS", "no such folder")).absolute()
MODULES, RUNTIME = TOOLS / "node_modules", TOOLS / "onnxruntime"
KOTLIN = MODULES / "kotlin-compiler" / "lib" / "kotlin-compiler.jar"
API = Path(__file__).parents[2] / "support" / "android_api"
STB = Path("/usr/include/stb")

Floats = npt.NDArray[np.float32]


def need(what: str, *there: object) -> None:
    if not all(there):
        pytest.skip(f"{what} is not installed here: see the job of .github/workflows/ci.yml")


def run(command: Sequence[object], folder: Path) -> str:
    """Returns what a program prints; the test fails with what it says where it fails."""
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.strip()


def cpp(code: str, folder: Path, *arguments: object) -> str:
    """Compiles code in C++, with all warnings as errors but for those of the headers, and runs it."""
    need("g++, ONNX Runtime's release package or stb", shutil.which("g++"), RUNTIME.is_dir(), STB.is_dir())
    (folder / "predict.cpp").write_text(code)
    places = ("-isystem", RUNTIME / "include", "-L", RUNTIME / "lib", f"-Wl,-rpath,{RUNTIME / 'lib'}", "-isystem", STB)
    options = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror")
    run(("g++", *options, "predict.cpp", "-o", "predict", *places, "-lonnxruntime"), folder)
    return run(("./predict", *arguments), folder)


def javascript(code: str, folder: Path, *arguments: object) -> str:
    """Runs code in JavaScript."""
    need("node, onnxruntime-node or sharp", shutil.which("node"), (MODULES / "onnxruntime-node").is_dir())
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(MODULES)
    (folder / "predict.mjs").write_text(code)
    return run(("node", "predict.mjs", *arguments), folder)


def kotlin(files: Sequence[Path], folder: Path) -> None:
    """Compiles code in Kotlin, with all warnings as errors, into ``out`` in a folder."""
    need("java or kotlin-compiler", shutil.which("java"), KOTLIN.is_file())
    compiler = ("java", "-cp", KOTLIN, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler")
    run((*compiler, "-no-reflect", "-Werror", "-d", folder / "out", *files), folder)


RUNNERS = {"cpp": cpp, "javascript": javascript}


@pytest.mark.parametrize("language", RUNNERS)
def test_a_classifier_says_what_pytorch_says(language: str, mvd: Mvd, folder: Path) -> None:
    artifact, picture = folder / "net_build-24x32-fp32.untrained.onnx", folder / "own" / "picture.png"
    name, probability = pytorch(mvd, artifact, picture)
    code = mvd("snippet", artifact, "--lang", language).stdout
    assert RUNNERS[language](code, folder, picture) == f"{name} {probability:.4f}"
    mistakes = {
        "cpp": [
            ("std::max(across, down)", "std::min(across, down)"), ("/ 0.875", "/ 1.0"), ("place = c", "place = 2 - c"),
            ("(i + 0.5) * scale", "i * scale"),
        ],
        "javascript": [
            ("Math.max(WIDTH / width", "Math.min(WIDTH / width"), ("/ 0.875", "/ 1.0"), ("place = c", "place = 2 - c"),
            ("(i + 0.5) * scale", "i * scale"),
        ],
    }  # fmt: skip
    for right, wrong in mistakes[language]:
        assert right in code
        said, share = RUNNERS[language](code.replace(right, wrong), folder, picture).rsplit(" ", 1)
        assert said != name or abs(float(share) - probability) > 0.003, wrong


@pytest.mark.parametrize("task", ["segment", "detect"])
def test_heads_say_the_same_in_every_language(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the code in Python says it, which the quick tests hold to ``mvd predict``."""
    with small_pyramid():
        head = HeadOptions("labels") if task == "segment" else HeadOptions("nms", score_threshold=0.0, max_detections=8)
        model = ModelRequest("cas_vit_xs", task, size=(64, 64), num_classes=5, head=head)  # type: ignore[arg-type]
        (report,) = export_model(ExportRequest(model, ("onnx",), folder=tmp_path))
    picture = draw(tmp_path / "picture.png")
    codes = {
        language: CliRunner().invoke(app, ["snippet", str(report.artifact.path), "--lang", language]).stdout
        for language in ("python", *RUNNERS)
    }
    python = run_python(codes["python"], tmp_path, picture, monkeypatch)
    names, numbers = parts(python)
    assert len(numbers) == (5 * 8 if task == "detect" else len(names)), "boxes with scores, or shares"
    for language, runner in RUNNERS.items():
        own_names, own_numbers = parts(runner(codes[language], tmp_path, picture))
        assert own_names == names, language
        assert own_numbers == pytest.approx(numbers, abs=0.11), language  # boxes have one digit behind the point
        step = 5 if task == "detect" else 1  # scores and shares have four
        assert own_numbers[::step] == pytest.approx(numbers[::step], abs=2e-4), language


class CoreMLStandIn:
    """What coremltools has on a Mac, computed by mvd's own evaluator."""

    def __init__(self, path: str) -> None:
        self._runner = MilRunner(Path(path))

    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        (feature,) = self._runner.inputs
        given = inputs[feature.name]
        if feature.kind == "image":
            assert isinstance(given, Image.Image)
            given = np.asarray(given, np.float32).transpose(2, 0, 1)[None]
            given = given[:, ::-1] if feature.color == "BGR" else given  # as Core ML does
        found: dict[str, Any] = {}
        for output, values in zip(self._runner.outputs, self._runner.run(given), strict=True):
            if output.kind == "probabilities":
                found[output.name] = dict(zip(output.labels, values[0].tolist(), strict=True))
                found["classLabel"] = output.labels[int(values[0].argmax())]
            else:
                found[output.name] = values
        return found


@pytest.mark.parametrize("kind", ["labels", "bgr", "array", "detector"])
def test_python_for_core_ml(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, folder = draw(tmp_path / "picture.png"), tmp_path / "out"
    (tmp_path / "labels.txt").write_text("\n".join(f"{i} {NAMES[i % 5]}" for i in range(10)))
    mean = ("--mean", "0.5,0.4,0.3", "--std", "0.2,0.25,0.3")
    if kind == "detector":
        with small_pyramid():
            head = HeadOptions("nms", score_threshold=0.0, max_detections=4)
            model = ModelRequest("cas_vit_xs", "detect", size=(64, 64), num_classes=5, head=head)
            (report,) = export_model(ExportRequest(model, ("coreml",), folder=folder))
        artifact, own = report.artifact.path, []
    else:
        color = "bgr" if kind == "bgr" else "rgb"
        image = ("--labels", tmp_path / "labels.txt", "--image-input", "--color", color, *mean)
        labels = () if kind == "array" else image
        net = f"{RESEARCH / 'tiny_net.py'}:build"
        arguments = ("export", net, "--to", "coreml", "--input-size", "24x32", "--out", folder, *labels)
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exit_code == 0, done.stderr
        (artifact,), own = folder.glob("*.mlpackage"), [] if labels else [*mean]
    code = CliRunner().invoke(app, ["snippet", str(artifact), "--lang", "python", *own]).stdout
    done = CliRunner().invoke(app, ["predict", str(artifact), str(picture), "--top", "1", "--json", *own])
    found = json.loads(done.stdout)["predictions"][0]["found"]
    monkeypatch.setattr("coremltools.models.MLModel", CoreMLStandIn)
    lines = run_python(code, folder, picture, monkeypatch).splitlines()
    assert len(lines) == len(found) > 0
    for line, item in zip(lines, found, strict=True):
        if kind == "detector":
            numbers = [float(part) for part in re.findall(r"[\d.]+", line.removeprefix(item["name"]))]
            assert numbers == pytest.approx([item["score"], *item["box"]], abs=0.06), "one digit behind the point"
        else:
            assert line == f"{item['name']} {item['probability']:.4f}"


def test_python_for_executorch(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = draw(tmp_path / "picture.png")
    mean = ("--mean", "0.5,0.4,0.3", "--std", "0.2,0.25,0.3")
    code = CliRunner().invoke(app, ["snippet", str(program), "--lang", "python", *mean]).stdout
    done = CliRunner().invoke(app, ["predict", str(program), str(picture), "--top", "1", "--json", *mean])
    best = json.loads(done.stdout)["predictions"][0]["found"][0]
    shutil.copy(program, tmp_path)
    assert run_python(code, tmp_path, picture, monkeypatch) == f"{best['name']} {best['probability']:.4f}"


def parts(answer: str) -> tuple[list[str], list[float]]:
    """Returns the names of the classes in an answer, and the numbers behind them."""
    lines = [line.split(" ", 2) for line in answer.splitlines()]
    texts = [" ".join(line[2:]) for line in lines]
    return [" ".join(line[:2]) for line in lines], [
        float(part) for text in texts for part in re.findall(r"[\d.]+", text)
    ]


def prepared(text: str) -> Floats:
    return np.array(text.split(), dtype=np.float32)


def close(found: Floats, picture: Path, facts: Facts, preparation: object, name: str) -> None:
    wanted = expected(picture, facts, preparation).reshape(-1)  # type: ignore[arg-type]
    # Pillow's weights are whole numbers of 22 bits: a sum that lies on the half may be rounded to the other side.
    off = np.abs(found - wanted) > 1e-6 * np.abs(wanted).max()
    step = 1.01 / 255 / min(facts.std)
    assert off.mean() < 0.001, name
    assert np.abs(found - wanted).max() < step, name


CPP_MAIN = """
int main(int, char** argv) {
    int width, height, channels;
    uint8_t* read = stbi_load(argv[1], &width, &height, &channels, 3);
    for (float value : prepare(Pixels(read, read + size_t(width) * height * 3), width, height).values)
        std::printf("%.9g ", value);
}
"""
JAVASCRIPT_MAIN = """
const { data, info } = await sharp(process.argv[2]).removeAlpha().raw().toBuffer({ resolveWithObject: true });
console.log(prepare(data, info.width, info.height).values.join(" "));
"""
KOTLIN_MAIN = """
fun main(arguments: Array<String>) {
    val image = javax.imageio.ImageIO.read(java.io.File(arguments[0]))
    val colors = image.getRGB(0, 0, image.width, image.height, null, 0, image.width)
    println(prepare(colors, image.width, image.height).values.joinToString(" "))
}
"""


def test_every_way_of_preparing_in_cpp(tmp_path: Path) -> None:
    picture = draw(tmp_path / "picture.png")
    for name, facts, preparation in cases():
        code = fill("onnx", "cpp", facts).code.partition("struct Output")[0] + CPP_MAIN
        close(prepared(cpp(code, tmp_path, picture)), picture, facts, preparation, name)


def test_every_way_of_preparing_in_javascript(tmp_path: Path) -> None:
    picture = draw(tmp_path / "picture.png")
    for name, facts, preparation in cases():
        code = fill("onnx", "javascript", facts).code.partition("const name =")[0] + JAVASCRIPT_MAIN
        close(prepared(javascript(code, tmp_path, picture)), picture, facts, preparation, name)


def test_every_way_of_preparing_in_kotlin(tmp_path: Path) -> None:
    """Each in a package of its own, compiled together; the code behind the picture is left out, and Android with it."""
    picture = draw(tmp_path / "picture.png")
    files = []
    left_out = ("import android", "import com", "import kotlin.math.exp")  # for what is left out
    for name, facts, _ in cases():
        code = fill("litert", "kotlin", facts).code.partition("fun name(")[0] + KOTLIN_MAIN
        lines = (line for line in code.splitlines() if not line.startswith(left_out))
        files.append(tmp_path / f"{name}.kt")
        files[-1].write_text("\n".join([f"package {name}", *lines]))
    kotlin(files, tmp_path)
    places = f"{tmp_path / 'out'}{os.pathsep}{KOTLIN.with_name('kotlin-stdlib.jar')}"
    for name, facts, preparation in cases():
        values = run(("java", "-cp", places, f"{name}.{name.capitalize()}Kt", picture), tmp_path)
        close(prepared(values), picture, facts, preparation, name)


def test_kotlin_is_written_for_the_documented_interfaces(tmp_path: Path) -> None:
    """Every answer for every runtime, against the signatures in ``tests/support/android_api``: nothing of it is run."""
    files = [*API.rglob("*.java"), *API.rglob("*.kt")]
    answers: Sequence[Answer] = ("logits", "probabilities", "labels", "boxes", "arrays")
    for target in ("onnx", "litert", "executorch"):
        for answer in answers:
            facts = replace(FACTS, answer=answer, labels=tuple(NAMES), outputs=("a", "b", "c", "d"), rule="fit")
            variants = [facts]
            if target == "litert":
                steps: dict[str, Any] = {"input_steps": (0.0175, -15), "output_steps": (None, (1e-6, 3), None, None)}
                variants += [replace(facts, pixels=True, channels_last=True), replace(facts, **steps)]
            for i, variant in enumerate(variants):
                files.append(tmp_path / f"{target}_{answer}_{i}.kt")
                files[-1].write_text(f"package {target}_{answer}_{i}\n{fill(target, 'kotlin', variant).code}")
    kotlin(files, tmp_path)
