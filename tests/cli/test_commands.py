"""The command line as a contract: names, exit codes, JSON, and where output goes."""

import json
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import Result

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.cli import export as export_command
from mobilevit_deploy.cli.app import COMMANDS
from mobilevit_deploy.cli.artifacts import find_artifacts
from mobilevit_deploy.system.environment import available_cores
from mobilevit_deploy.system.version import __version__
from tests.conftest import RESEARCH
from tests.research import tiny_net
from tests.support.schemas import read as read_document
from tests.targets.coreml.test_convert import read

Mvd = Callable[..., Result]

# How artifacts are measured is what the tests of measurement/latency look at; here their processes start once.
GIVEN = pytest.mark.usefixtures("given_times")

NET = f"{RESEARCH / 'additive_net.py'}:build"
TINY = f"{RESEARCH / 'tiny_net.py'}:build"
SMALL = ("export", NET, "--input-size", 32, "--to", "onnx")


def test_export_prints_a_table_and_writes_to_the_default_folder(mvd: Mvd) -> None:
    result = mvd(*SMALL, "--to", "coreml")
    assert result.exit_code == 0, result.stderr
    assert "UNTRAINED" in result.stdout
    for text in (
        "takes    input 1x3x32x32 float32: normalised as in training (no --mean, --std)",
        "returns  logits 1x12 float32",
        "classes  12, without names",
        "largest difference ",
        "half precision's share of it ",
        "wrote artifacts/additive_net_build-32x32-fp32.untrained.onnx",
        "mvd predict artifacts/additive_net_build-32x32-fp32.untrained.onnx "
        "artifacts/additive_net_build-32x32-fp16.untrained.mlpackage PICTURE",
    ):
        assert text in result.stdout
    assert not [word for word in ("unrounded", "mil", "widened", "storage", "legs") if word in result.stdout.split()]
    assert all(line == line.rstrip() for line in result.stdout.splitlines())
    assert "mvd: onnx: converting" in result.stderr
    assert len(list(Path("artifacts").iterdir())) == 6, "two files, each with its report and its card"


def test_json_is_one_document_and_the_report_on_disk_is_the_same(mvd: Mvd) -> None:
    result = mvd(*SMALL, "--out", "here", "--json")
    (report,) = json.loads(result.stdout)["artifacts"]
    assert report == json.loads(Path("here/additive_net_build-32x32-fp32.untrained.onnx.json").read_text())
    assert report["path"] == "here/additive_net_build-32x32-fp32.untrained.onnx"
    assert {
        "schema", "model", "task", "weights", "input", "outputs", "target", "precision", "path", "sha256", "bytes",
        "ops", "ops_before", "rewrites", "parity", "seconds", "tool_versions",
    } <= set(report)  # fmt: skip
    assert report["weights"] == {
        "trained": False, "path": None, "sha256": None, "key": None, "prefix": "", "ignore": [], "not_loaded": [],
        "not_read": [], "library": None, "vouched": None, "notes": [],
    }  # fmt: skip
    assert {"name", "applied", "refused", "max_abs_difference"} <= set(report["rewrites"][0])
    leg = report["parity"]["legs"][0]
    assert {
        "runner", "precision", "samples", "max_abs", "max_rel", "snr_db", "top1_agreement", "spread", "tolerance",
        "passed",
    } <= set(leg)  # fmt: skip
    assert set(report["seconds"]) == {"load", "capture", "rewrite", "convert", "verify"}


def test_options_reach_the_artifact(mvd: Mvd) -> None:
    weights = tiny_net.build().state_dict()
    torch.save({"model": weights, "model_ema": {name: value * 0.9 for name, value in weights.items()}}, "c.pth")
    arguments = ("--checkpoint", "c.pth", "--weights", "raw", "--require-trained", "--precision", "fp32")
    more = ("--min-ios", 17, "--input-size", "32x64", "--batch", 2, "--no-rewrite", "--to", "coreml", "--json")
    result = mvd("export", TINY, *arguments, *more)
    (report,) = read_document("export", result.stdout)["artifacts"]
    assert report["weights"]["key"] == "model"
    assert report["input"]["shape"] == [2, 3, 32, 64]
    assert report["version"] == {"iOS": 17}
    assert report["rewrites"] == []
    specification = read(Path("artifacts/tiny_net_build-32x64-fp32.mlpackage"))
    assert specification.specificationVersion == 8
    assert specification.description.metadata.userDefined["mvd.trained"] == "true"


def fails(result: Result, code: int, *texts: str) -> None:
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    for text in texts:
        assert text in result.stderr
    assert "Traceback" not in result.stderr
    assert list(Path.cwd().glob("artifacts")) == [], "nothing half-written"


def test_bad_input_ends_in_a_message(mvd: Mvd, digits_checkpoint: Path) -> None:
    export = ("export", "cas_vit_xs", "--to", "onnx")
    cut = Path("cut.pth")
    cut.write_bytes(digits_checkpoint.read_bytes()[:1_000_000])
    weights = torch.load(digits_checkpoint, weights_only=False)["model_ema"]
    weights["norm.weight"][0] = float("nan")
    torch.save(weights, "nan.pth")
    fails(mvd(*export, "--checkpoint", cut), 1, "damaged", "copy it again")
    fails(mvd(*export, "--checkpoint", "nan.pth"), 1, "NaN or infinite values in 1 tensors: norm.weight")
    fails(mvd(*export, "--checkpoint", digits_checkpoint, "--num-classes", 999), 1, "10 classes", "--num-classes 10")
    fails(mvd(*export, "--input-size", 225), 2, "225", "--input-size 224")
    fails(mvd("export", "cas_vit_xz", "--to", "onnx"), 2, "did you mean")
    fails(mvd(*export, "--require-trained"), 2, "--checkpoint")
    fails(mvd(*export, "--input-size", "large"), 2, "N, HxW or CxHxW")
    fails(mvd("export", "cas_vit_xs", "--to", "tflite"), 2, "tflite")
    fails(mvd("export", "cas_vit_xs", "--to", "onnx,onxx"), 2, "did you mean onnx?")
    Path("file").touch()
    fails(mvd(*export, "--out", "file"), 1, "cannot write into file", "--out DIR")


def test_a_failed_check_is_exit_3_and_still_reports(mvd: Mvd, tmp_path: Path) -> None:
    recipe = (Path(__file__).parents[2] / "export_recipes/onnx.toml").read_text()
    (tmp_path / "strict.toml").write_text(recipe.replace("max_rel = 1e-5", "max_rel = 0.0"))
    result = mvd(*SMALL, "--recipe", "strict.toml", "--json")
    assert result.exit_code == 3
    document = read_document("export", result.stdout)
    (report,) = document["artifacts"]
    assert not document["published"]
    assert report["parity"]["status"] == "failed"
    assert "of the largest value, more than" in result.stderr
    assert not Path("artifacts").exists()


def test_a_bug_is_exit_4_with_its_traceback_kept(mvd: Mvd, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(export_command, "parse_size", fail)
    result = mvd(*SMALL)
    assert result.exit_code == 4
    assert "a bug in mvd: KeyError" in result.stderr
    kept = Path(result.stderr.split("which is in ")[1].split()[0])
    assert "Traceback" in kept.read_text()
    kept.unlink()


def test_debug_adds_the_traceback(mvd: Mvd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MVD_DEBUG", "1")
    result = mvd("show", "cas_vit_xz")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr


def test_list_and_show(mvd: Mvd) -> None:
    models = json.loads(mvd("list", "--json").stdout)["models"]
    assert models[0]["name"] == "cas_vit_xs"
    assert models[0]["published"][0] == {"input_size": 224, "top1_percent": 78.3}
    assert all(model["name"] in mvd("list").stdout for model in models)
    shown = mvd("show", "cas_vit_m")
    assert "12,036,520" in shown.stdout
    assert json.loads(mvd("show", "cas_vit_m", "--json").stdout)["card"]["family"]["licence"] == "MIT"


@GIVEN
def test_latency_of_files_models_and_the_folder(mvd: Mvd) -> None:
    assert mvd(*SMALL).exit_code == 0
    artifact = "artifacts/additive_net_build-32x32-fp32.untrained.onnx"
    result = mvd("latency", "--threads", 1, "--seconds", 0.1, "--json")
    assert result.exit_code == 0, result.stderr
    (found,) = read_document("latency", result.stdout)["results"]
    assert found["artifact"] == artifact
    assert {
        "backend", "provider", "threads", "warmup", "iterations", "p50_ms", "p90_ms", "p99_ms", "mean_ms", "min_ms",
        "ci95_ms", "throughput_per_s", "load_ms", "second_load_ms", "peak_rss_mb", "stable", "environment",
        "sha256", "conditions",
    } <= set(found)  # fmt: skip
    for name in (artifact, "additive_net_build"):
        assert find_artifacts([name], Path("artifacts"), None, "onnx", print) == [Path(artifact)]
    many = available_cores() + 1
    table = mvd("latency", "--threads", many, "--seconds", 0.1)
    assert "p50 ms" in table.stdout
    assert f"{many} threads on" in table.stderr


@GIVEN
@pytest.mark.usefixtures("shallow")
def test_a_reconstruction_is_called_one_everywhere(mvd: Mvd) -> None:
    """What the artifacts of every model say of it is in ``tests/export/test_every_model.py``."""
    exported = mvd("export", "saevit_0p8g", "--input-size", 64, "--to", "onnx")
    assert "saevit_0p8g, a reconstruction from the paper" in exported.stdout
    onnx_file = next(Path("artifacts").glob("*.onnx"))
    for command in (("list",), ("show", "saevit_0p8g"), ("inspect", onnx_file), ("latency", "--seconds", 0.1)):
        assert "reconstruction" in mvd(*command).stdout, command
    assert json.loads(mvd("show", "saevit_1p3g", "--json").stdout)["published"] == []


@GIVEN
def test_latency_exports_what_is_not_there(mvd: Mvd) -> None:
    result = mvd("latency", NET, "--threads", 1, "--seconds", 0.1, "--json")
    assert result.exit_code == 0, result.stderr
    assert "exporting it with random weights" in result.stderr
    assert json.loads(result.stdout)["results"][0]["input_shape"] == [1, 3, 224, 224]


def test_latency_that_cannot_be(mvd: Mvd) -> None:
    assert mvd("latency", "none.onnx").exit_code == 1
    result = mvd("latency", "--backend", "coreml")
    assert result.exit_code == 1
    assert "run it on a Mac" in result.stderr
    assert not Path("artifacts").exists()


def test_latency_refuses_before_it_exports(mvd: Mvd) -> None:
    for arguments, code, message, hint in (
        (("--provider", "cuda"), 1, "has no provider 'cuda' here", "it has"),
        (("--option", "session.intra_op.allow_spining=0"), 2, "would ignore it", "session.intra_op.allow_spinning"),
        (("--option", "threads"), 2, "takes KEY=VALUE", "such as"),
        (("--option", "provider.x=1"), 2, "takes no options", "without the prefix"),
    ):
        fails(mvd("latency", NET, *arguments), code, message, hint)
    Path("text.onnx").write_text("no ONNX file, whatever its name says")
    fails(
        mvd("latency", "text.onnx", "--pin", "none"), 1, "text.onnx is no ONNX file, or damaged", "copy the file again"
    )
    fails(mvd("latency", "text.onnx", "--pin", "9999"), 2, "may not use core 9999", "it may use")


@GIVEN
def test_latency_of_a_batch(mvd: Mvd) -> None:
    net = f"{RESEARCH / 'small_net.py'}:build"
    assert mvd("export", net, "--input-size", 32, "--to", "onnx").exit_code == 0
    (artifact,) = Path("artifacts").glob("*.onnx")
    before = artifact.read_bytes()
    measure = ("latency", net, "--batch", 3, "--threads", 1, "--seconds", 0.1, "--json")
    first = mvd(*measure)
    assert "with batch 3 in artifacts/batch-3" in first.stderr
    (found,) = json.loads(first.stdout)["results"]
    assert found["input_shape"][0] == 3
    assert found["throughput_per_s"] == pytest.approx(3e3 / found["mean_ms"])
    assert Path(found["artifact"]).parent == Path("artifacts/batch-3")
    assert artifact.read_bytes() == before
    exported = Path(found["artifact"])
    assert find_artifacts([net], Path("artifacts"), 3, "onnx", print) == [exported], "it is not exported again"
    refused = mvd("latency", artifact, "--batch", 3)
    assert refused.exit_code == 1
    assert "another batch than 3 fixed in its graph" in refused.stderr
    assert "it is exported with batch 3" in refused.stderr


def test_doctor_and_version(mvd: Mvd) -> None:
    assert mvd("--version").stdout == f"mvd {__version__}\n"
    document = json.loads(mvd("doctor", "--json").stdout)
    assert document["versions"]["torch"] == version("torch")
    assert {ability["name"]: ability["works"] for ability in document["abilities"]}["export, verify and measure ONNX"]
    assert "verify Core ML" in mvd("doctor").stdout


def test_what_the_models_code_prints_does_not_reach_stdout(mvd: Mvd, tmp_path: Path) -> None:
    code = "from torch import nn\n\n\ndef build():\n    print('loading')\n    return nn.Conv2d(3, 4, 3)\n"
    (tmp_path / "loud_net.py").write_text(code)
    result = mvd("export", "loud_net.py:build", "--input-size", 16, "--to", "onnx", "--json")
    assert json.loads(result.stdout)["artifacts"][0]["model"] == "loud_net_build"
    assert "loading" in result.stderr


def test_options_that_would_do_nothing_are_refused(mvd: Mvd) -> None:
    fails(mvd(*SMALL, "--min-ios", 17), 2, "--min-ios is for another target than onnx")
    fails(mvd("export", NET, "--to", "coreml", "--opset", 18), 2, "--opset")
    fails(mvd(*SMALL, "--weights", "raw"), 2, "--checkpoint")


def test_the_defaults_in_the_help_are_those_of_the_recipes(mvd: Mvd) -> None:
    text = " ".join(mvd("export", "--help").stdout.split())
    recipes = {name: recipe for name, recipe in catalog.recipes().items() if name == recipe.target}
    half = {name for name, recipe in recipes.items() if recipe.default_precision == "fp16"}
    assert half == {"coreml", "coreai"}
    assert "Default: fp32; for Core ML and Core AI fp16." in text
    for target, words in (("onnx", "ONNX opset."), ("coreml", "Oldest iOS that reads a Core ML file.")):
        version = recipes[target].version
        assert version is not None
        assert f"{words} Default: {version.default}." in text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_help_has_no_words_of_python(name: str, mvd: Mvd) -> None:
    text = mvd(name, "--help").stdout
    assert not re.findall(r"<\w+(?:\[|\||>| range)|x>=|Value error", text)
    assert "Example:" in text


@GIVEN
def test_one_of_several_sizes_is_measured(mvd: Mvd) -> None:
    for size in (32, 48):
        assert mvd("export", TINY, "--input-size", size, "--to", "onnx").exit_code == 0
    found = json.loads(mvd("latency", "--input-size", 48, "--seconds", 0.1, "--json").stdout)["results"]
    assert [item["input_shape"] for item in found] == [[1, 3, 48, 48]]
    none = mvd("latency", "--input-size", 64, "--out", "elsewhere")
    assert (none.exit_code, "no .onnx file for 64x64 in elsewhere" in none.stderr) == (1, True)
