"""``mvd profile`` of a package: Core ML's plan by op and module, and the gate for the Neural Engine."""

from pathlib import Path

import pytest

from mobilevit_deploy.rewrites.order import REWRITES
from mobilevit_deploy.targets.coreml.rules import RULES, rewrites_against
from tests.apple.conftest import NAME, StandIn
from tests.support.schemas import check as check_document
from tests.targets.coreml.detectors import passing_pipeline

# The stand-in takes ten for a convolution and one for the gather, the mean and the two casts.
SHARE = 11 / 14


@pytest.mark.parametrize("device", [NAME, "host"])
def test_the_plan_by_op_and_module(mac: StandIn, package: Path, device: str) -> None:
    mac.set()
    done = mac.run("profile", package, "--device", device, "--json")
    assert done.code == 0, done.err
    plan = check_document("plan", done.out)
    assert plan["neural_engine_share"] == pytest.approx(SHARE, abs=1e-9)
    assert plan["cost_by_device"]["CPU"] == pytest.approx(1 - SHARE, abs=1e-9)
    operations = {item["op"] + " " + str(item["module"]): item for item in plan["operations"]}
    assert operations["conv stem.conv"]["preferred"] == "Neural Engine"
    assert operations["conv stem.conv"]["supported"] == ["Neural Engine", "CPU", "GPU"]
    assert operations["conv stem.conv"]["cost"] == pytest.approx(10 / 14, abs=1e-9)
    gather = operations["gather stages.0.attention"]
    assert gather["preferred"] == "CPU"
    assert gather["rules"] == ["gather"]
    assert gather["rewrites"] == ["fold_constants", "replace_roll"]
    assert gather["name"] in plan["left"]
    assert "const" not in {item["op"] for item in plan["operations"]}
    assert mac.leftovers() == []
    if device == NAME:
        methods = [call[1] for call in mac.calls("modelrunner")]
        assert [name.removeprefix("MLModelService.") for name in methods] == ["Ping", "Load", "ComputePlan", "Unload"]
        assert mac.state("loaded") == {}


def test_the_plan_of_a_detector_is_that_of_its_network(mac: StandIn, tmp_path: Path) -> None:
    mac.set()
    plan = mac.run("profile", passing_pipeline(tmp_path), "--device", NAME, "--json").json
    assert plan["tensor_twin"] == ["the non-maximum suppression after the network is left out"]
    assert {item["op"] for item in plan["operations"]} == {"squeeze", "slice_by_size", "add"}


def test_the_compute_units_reach_the_plan(mac: StandIn, package: Path) -> None:
    mac.set()
    plan = mac.run("profile", package, "--device", NAME, "--compute-units", "cpu", "--json").json
    assert {item["preferred"] for item in plan["operations"]} == {"CPU"}
    assert plan["neural_engine_share"] == 0
    assert mac.run("profile", package, "--compute-units", "each").code == 2


def test_the_gate(mac: StandIn, package: Path) -> None:
    mac.set()
    passed = mac.run("profile", package, "--require-ne", SHARE - 0.001)
    assert passed.code == 0, passed.err
    failed = mac.run("profile", package, "--require-ne", SHARE + 0.001)
    assert failed.code == 3
    assert "78.6% of model.mlpackage's estimated cost is on the Neural Engine, and 78.7% is required" in failed.err
    assert "gather" in failed.out  # the table is there all the same
    assert "stages.0.attention" in failed.out
    assert "replace_roll" in failed.out


def test_the_gate_is_for_packages(mac: StandIn) -> None:
    mac.set()
    for name in ("net.onnx", "net.mlpackage"):
        (mac.folder / "work" / name).touch()
    for option in (("--require-ne", 0.9), ("--compute-units", "all"), ("--team", "A1B2C3D4E5"), ("--device", NAME)):
        done = mac.run("profile", "net.onnx", *option)
        assert done.code == 2
        assert f"{option[0]} is for an .mlpackage, and net.onnx is none" in done.err
    done = mac.run("profile", "net.mlpackage", "--threads", 1)
    assert done.code == 2
    assert "--threads is for an .onnx file" in done.err


def test_the_rules_name_rewrites_that_exist() -> None:
    names = {rewrite.name for rewrite in REWRITES}
    assert {name for rule in RULES for name in rule.rewrites} <= names
    assert rewrites_against("gather")
    assert rewrites_against("dynamic_shape") == rewrites_against("no such rule") == ()
