"""Core AI conversion: what an asset holds, that it is the same each time, and what Apple's code refuses."""

import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mobilevit_deploy.catalog import formats
from mobilevit_deploy.cli.app import app
from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline import provenance
from mobilevit_deploy.pipeline.conversion import convert_for_target
from mobilevit_deploy.pipeline.plan import TargetRequest, plan_target
from mobilevit_deploy.pipeline.prepare import prepare, ready_for_target
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.coreai import abort
from mobilevit_deploy.targets.coreai import child as coreai_child
from mobilevit_deploy.targets.coreai.convert import read_operations
from mobilevit_deploy.targets.coreai.nodes import KEY, read_nodes
from mobilevit_deploy.targets.registry import describe_file
from tests.conftest import RESEARCH

NET = f"{RESEARCH / 'small_net.py'}:build_narrow_pair"
REFUSED = """import torch
from torch import nn

class Inner(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), Inner())
"""


def export(folder: Path, name: str = NET, size: int = 16) -> ExportReport:
    request = ModelRequest(name, size=(size, size))
    (report,) = export_model(ExportRequest(request, ("coreai",), precision="fp16", folder=folder))
    return report


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    return export(tmp_path_factory.mktemp("exported"))


def test_an_asset_says_what_it_is(exported: ExportReport) -> None:
    assert [(leg.subject, leg.runner, leg.passed) for leg in exported.parity.legs] == [
        ("rewritten graph", "torch", True),
        ("float32 conversion", "coreai", True),
        ("artifact", "coreai", True),
        ("artifact", "coreai", True),
        ("half precision, unrounded", "coreai", True),
    ]
    file = describe_file(exported.artifact.path)
    assert file.entries[0].shape == (1, 3, 16, 16)
    assert [(output.name, output.shape) for output in file.outputs] == [("output0", (1, 100)), ("output1", (1, 100))]
    assert file.half
    noted = provenance.parse(file.metadata, file.path.name)
    assert noted is not None
    assert (noted.model, noted.recipe, noted.precision, noted.trained) == (
        "small_net_build_narrow_pair",
        "coreai",
        "fp16",
        False,
    )


@pytest.mark.usefixtures("cold")
def test_operations_have_their_modules(exported: ExportReport) -> None:
    operations = read_operations(exported.artifact.path)
    modules = [operation.at for operation in operations if operation.kind == "conv2d"]
    assert modules == ["stem", "first.expand", "first.project", "second.expand", "second.project"]
    assert sum(exported.artifact.ops.values()) == len(operations)
    assert {tensor.dtype for operation in operations[1:-2] for tensor in operation.outputs} == {"float16"}
    parts = read_nodes(describe_file(exported.artifact.path).metadata)
    assert parts["convolution"] == "conv2d", "the converter's part, and the node that it is a part of"


def test_a_damaged_note_of_the_nodes_is_none() -> None:
    assert [read_nodes({KEY: text}) for text in ("[1]", "{", "[" * 100_000)] == [{}, {}, {}]


@pytest.mark.usefixtures("cold")
def test_the_same_export_has_the_same_bytes(exported: ExportReport, tmp_path: Path) -> None:
    """Also in a process that starts anew, with addresses of its own."""
    prepared = prepare(load_model(ModelRequest(NET, size=(16, 16))))
    plan = plan_target(TargetRequest("coreai", precision="fp16"))
    one = convert_for_target(plan, prepared, ready_for_target(plan, prepared), tmp_path)
    assert one.sha256 == exported.artifact.sha256
    metadata = (one.path / "metadata.json").read_text()
    assert "creationDate" not in json.loads(metadata)
    assert str(RESEARCH) not in metadata
    assert str(RESEARCH).encode() not in (one.path / "main.mlirb").read_bytes(), "no path of this machine"


def test_a_refused_operation_is_named_with_module_and_line(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(REFUSED)
    with pytest.raises(ConversionError, match=r"special_bessel_j0.*\(in 1, line 6 of .*net\.py\)"):
        export(tmp_path / "out", f"{tmp_path / 'net.py'}:build", size=8)
    assert not (tmp_path / "out").exists()


# Plays the child: answers until it comes to a command, there says where it is, and aborts as LLVM does.
ABORTS = """
import json, os, sys
for line in sys.stdin:
    request = json.loads(line)
    if request["command"] == "convert":
        os.makedirs(request["path"])
        with open(request["path"] + "/metadata.json", "w") as file:
            json.dump({"creatorDefinedMetadata": {"mvd.nodes": json.dumps({"part": "gelu_1"})}}, file)
        with open(os.environ["TMPDIR"] + "/stage", "w") as file:
            file.write("STAGE")
    if request["command"] == "convert" or request.get("last", 0) >= 5:
        os.write(2, b"LLVM ERROR: Failed to infer result type(s): (tensor<49x256>, tensor<1x7x7x256>)\\n")
        os.abort()
    operation = {"kind": "gelu", "node": "part", "inputs": [], "outputs": [], "result": False}
    other = {**operation, "kind": "conv2d", "node": ""}
    print(json.dumps({"operations": [other] * 5 + [operation] + [other] * 3}), flush=True)
"""


@pytest.mark.parametrize("stage", ["lowering", "gelu_1"])
def test_an_abort_names_the_operation_and_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(coreai_child, "WORKER", (sys.executable, "-c", ABORTS.replace("STAGE", stage)))
    with pytest.raises(ConversionError) as refused:
        export(tmp_path / "out")
    doing, kind = ("compiler", "at its operation gelu, ") if stage == "lowering" else ("converter", "")
    message = refused.value.message
    assert message.startswith(
        f"Core AI's {doing} aborted: LLVM ERROR: Failed to infer result type(s): (tensor<49x256>, tensor<1x7x7x256>) "
        f"(SIGABRT) ({kind}from gelu, in second, line "
    )
    assert "small_net.py" in message
    assert not (tmp_path / "out").exists()


def test_an_operation_that_is_lowered_is_not_blamed(exported: ExportReport) -> None:
    assert abort._lowers(exported.artifact.path, 3)


MERGE = f"{RESEARCH / 'merge_net.py'}:build"


def test_patch_merging_is_rewritten(tmp_path: Path) -> None:
    report = export(tmp_path, MERGE, size=28)
    assert report.parity.status == "passed"
    assert {"replace_max_pool3d", "add_bias"} <= {item.name for item in report.rewrites if item.applied}


def test_patch_merging_aborts_as_written(tmp_path: Path) -> None:
    """What Apple's compiler really does to LightViT's patch merging."""
    (tmp_path / "recipe.toml").write_text(without("add_bias"))
    request = ExportRequest(
        ModelRequest(MERGE, size=(28, 28)), ("coreai",), recipe=str(tmp_path / "recipe.toml"), folder=tmp_path / "none"
    )
    with pytest.raises(ConversionError) as refused:
        export_model(request)
    message = refused.value.message
    assert message.startswith("Core AI's converter aborted: LLVM ERROR: Failed to infer result type(s)")
    assert '"coreai.decomposable.broadcasting_add"' in message
    assert "(at its operation add, from add, in merge, line " in message
    assert not (tmp_path / "none").exists()


def without(rewrite: str) -> str:
    """Returns the recipe's text without one of its rewrites."""
    recipe = Path(__file__).parents[3] / "export_recipes" / "coreai.toml"
    first, *rest = recipe.read_text().split("[[rewrites]]\n")
    kept = [part for part in rest if f'name = "{rewrite}"' not in part]
    assert len(kept) == len(rest) - 1
    return "[[rewrites]]\n".join([first, *kept])


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(formats, "installed_version", lambda name: None if name.startswith("coreai") else "1")
    result = CliRunner().invoke(app, ["export", NET, "--to", "coreai", "--input-size", "16"])
    assert result.exit_code == 1
    assert "Core AI needs coreai-torch and coreai-core, not installed here" in result.stderr
    assert re.search(r"pip install 'coreai-core[^']+' 'coreai-torch[^']+'", result.stderr)
    assert not list(tmp_path.iterdir())
