"""``mvd latency --backend coreml``: on this Mac, on each choice of compute units, and what stands beside a figure."""

import json
import shutil
from pathlib import Path

import pytest

from tests.apple.conftest import NAME, StandIn, body, tiny_package
from tests.support.schemas import check as check_document
from tests.targets.coreml.mil.packages import build, coremltools, save


def test_on_this_mac(mac: StandIn, package: Path) -> None:
    mac.set()
    done = mac.run("latency", package, "--backend", "coreml", "--seconds", 0.1, "--compute-units", "each", "--json")
    assert done.code == 0, done.err
    results = check_document("latency", done.out)["results"]
    assert [result["compute_units"] for result in results] == ["all", "cpu", "cpu+gpu", "cpu+ne"]
    for result in results:
        assert result["device"] == "host"
        assert result["environment"]["os"] == "macOS 26.1 (25B78)"
        assert result["thermal_state"] == ["nominal", "nominal"]
        assert result["p50_ms"] == pytest.approx(1.22, abs=0.01)
        assert not any("apart" in note for note in result["notes"])  # nothing lies between two predictions
    assert results[0]["load_ms"] == 900.0
    assert not mac.calls("xcrun")
    assert not mac.calls("xcodebuild")
    assert mac.leftovers() == []


def test_a_hot_mac_is_not_stable(mac: StandIn, package: Path) -> None:
    mac.set("hot")
    done = mac.run("latency", package, "--backend", "coreml", "--seconds", 0.1, "--json")
    (result,) = done.json["results"]
    assert not result["stable"]
    assert result["warnings"] == ["the thermal state was throttled"]
    assert "figures that are not stable are not to be cited" in done.err


def test_an_image_is_measured_through_its_twin(mac: StandIn, tmp_path: Path) -> None:
    image = coremltools.ImageType("x", shape=(1, 3, 8, 8))
    labels = coremltools.ClassifierConfig(["cat", "dog"])
    (tmp_path / "image").mkdir()
    path = tiny_package(tmp_path / "image", inputs=[image], classifier_config=labels)
    mac.set()
    done = mac.measure(path, "--json")
    assert done.code == 0, done.err
    (result,) = done.json["results"]
    assert result["tensor_twin"] == [
        "the image x is given as an array of shape 1x3x8x8",
        "the probabilities are returned as an array, without labels",
    ]
    assert any("measured through a twin: the image x" in note for note in result["notes"])
    sent = json.loads(mac.calls("modelrunner", "MLModelService.Prediction")[0][2])["inputs"]["x"]
    assert (sent["shape"], sent["dataType"]) == ([1, 3, 8, 8], "Float32")


def test_published_figures_stand_beside_and_are_not_mixed_in(mac: StandIn, package: Path) -> None:
    mac.set()
    named = mac.folder / "work" / "cas_vit_m-224x224-fp16.untrained.mlpackage"
    shutil.copytree(tiny_package_of(224, mac.folder), named)
    given = ("latency", named, package, "--backend", "coreml", "--seconds", 0.1)
    done = mac.run(*given, "--json")
    published, other = (result["published"] for result in done.json["results"])
    assert other == []
    (figure,) = published
    assert (figure["latency_ms"], figure["device"], figure["os"]) == (2.46, "iPhone 13", None)
    assert figure["source"].startswith("iFormer, table 18")
    assert done.json["results"][0]["p50_ms"] == pytest.approx(1.22, abs=0.01)
    shown = mac.run(*given).out
    measured, _, beside = shown.partition("published, not measured here")
    assert "2.46" in beside
    assert "not stated" in beside
    assert "2.46" not in measured


def tiny_package_of(size: int, folder: Path) -> Path:
    return save(build(body, (1, 3, size, size), 16, "fp16"), folder)


def test_what_cannot_be_measured_is_refused_before_anything_is_built(mac: StandIn) -> None:
    mac.set()
    work = mac.folder / "work"
    (work / "net.onnx").touch()
    (work / "damaged.mlpackage").mkdir()
    for name, message in (
        ("none.mlpackage", "there is no file none.mlpackage"),
        ("net.onnx", "net.onnx is no .mlpackage"),
        ("damaged.mlpackage", "damaged.mlpackage has no Manifest.json"),
    ):
        done = mac.run("latency", name, "--backend", "coreml", "--device", NAME)
        assert done.code == 1
        assert message in done.err
    mac.set("old_ios")
    done = mac.measure(save(build(body, (1, 3, 8, 8), 18, "fp16"), work))
    assert done.code == 1
    assert "model.mlpackage needs iOS 18, and Anna\u2019s iPhone has 17.2" in done.err
    assert "--min-ios" in done.err
    assert not mac.calls("xcodebuild", "-workspace")
    for option in (("--threads", 2), ("--provider", "cuda"), ("--huge-pages",), ("--pin", "0")):
        done = mac.run("latency", "none.mlpackage", "--backend", "coreml", *option)
        assert done.code == 2
        assert f"{option[0]} is for another backend, and coreml would ignore it" in done.err
    done = mac.run("latency", "net.onnx", "--compute-units", "cpu")
    assert done.code == 2
    assert "--compute-units is for another backend, and onnxruntime would ignore it" in done.err
    done = mac.run("latency", "none.mlpackage", "--backend", "coreml", "--compute-units", "gpu")
    assert done.code == 2
    done = mac.run("latency", "none.mlpackage", "--backend", "coreml", "--device", NAME, "--team", "x")
    assert done.code == 2
    assert "--team has 'x'" in done.err
    for devices in (("",), (NAME, "Ben's")):
        named = [part for device in devices for part in ("--device", device)]
        assert mac.run("latency", "none.mlpackage", "--backend", "coreml", *named).code == 2
    done = mac.run("latency", "net.onnx", "--device", NAME)
    assert done.code == 2
    assert "it takes --backend coreml" in done.err


def test_a_model_that_is_not_there_is_exported_for_core_ml(mac: StandIn) -> None:
    mac.set()
    code = "from torch import nn\n\n\ndef build():\n    return nn.Conv2d(3, 4, 3)\n"
    (mac.folder / "work" / "tiny_net.py").write_text(code)
    given = ("latency", "tiny_net.py:build", "--backend", "coreml", "--seconds", 0.1, "--json")
    done = mac.run(*given)
    assert done.code == 0, done.err
    assert "exporting it with random weights" in done.err
    (result,) = done.json["results"]
    assert result["artifact"].endswith(".mlpackage")
    own = mac.folder / "work" / "artifacts" / "for-latency"
    (kept,) = own.glob("*.coreml.latency.json")  # for mvd report
    assert json.loads(kept.read_text())["results"][0]["p50_ms"] == result["p50_ms"]
    assert "exporting" not in mac.run(*given).err
    assert mac.run("report", "artifacts/for-latency").code == 0
    page = (own / "report.html").read_text()
    assert "coreml (all)" in page.replace("&#40;", "(").replace("&#41;", ")")
