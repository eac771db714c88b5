"""The documents of ``--json`` and the reports on disk have the form that ``docs/schemas`` describes."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from mobilevit_deploy.cli.app import app
from tests.conftest import RESEARCH
from tests.support.schemas import check, schemas, validator
from tests.targets.coreml.mil.conftest import body_of, edit_model

TINY = f"{RESEARCH / 'tiny_net.py'}:build"
Mvd = Callable[..., Result]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the document of one export to both targets, with images and labels of the user's own."""
    folder = tmp_path_factory.mktemp("exported")
    images = np.random.default_rng(0).standard_normal((6, 3, 8, 8)).astype(np.float32)
    np.savez(folder / "images.npz", images=images, labels=np.arange(6) % 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVD_CACHE", str(folder / "kept"))
        arguments = ("export", TINY, "--to", "onnx", "--to", "coreml", "--input-size", 8, "--json")
        more = ("--images", folder / "images.npz", "--out", folder / "artifacts")
        done = CliRunner().invoke(app, [str(argument) for argument in (*arguments, *more)])
    assert done.exit_code == 0, done.stderr
    return folder / "artifacts", done.stdout


@pytest.fixture
def folder(exported: tuple[Path, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported[0], tmp_path / "artifacts"))


@pytest.fixture
def onnx_file(folder: Path) -> Path:
    return next(folder.glob("*.onnx"))


@pytest.fixture
def package(folder: Path) -> Path:
    return next(folder.glob("*.mlpackage"))


def test_export(exported: tuple[Path, str]) -> None:
    folder, text = exported
    onnx, coreml = check("export", text)["artifacts"]
    assert onnx["accuracy"]["images"] == 6
    for target, report in (("onnx", onnx), ("coreml", coreml)):
        (path,) = folder.glob(f"*.{target}.json")
        assert check("export-report", path.read_text())["sha256"] == report["sha256"]


def test_an_export_to_int8(mvd: Mvd) -> None:
    done = mvd("quantize", TINY, "--calibrate", "structured", "--input-size", 8, "--sensitivity", "--json")
    (report,) = check("export", done.stdout)["artifacts"]
    assert report["quantization"]["sensitivity"]


def test_verify(mvd: Mvd, onnx_file: Path, package: Path) -> None:
    assert check("verify", mvd("verify", onnx_file, "--model", TINY, "--json").stdout)["divergence"] is None

    def spoil(model: object) -> None:
        relu = next(item for item in body_of(model).operations if item.type == "relu")
        relu.type = "tanh"

    edit_model(package, spoil)
    done = mvd("verify", package, "--model", TINY, "--locate", "--json")
    assert done.exit_code == 3
    assert check("verify", done.stdout)["divergence"]["artifact_op"] == "tanh"


def test_inspect(mvd: Mvd, onnx_file: Path) -> None:
    check("inspect", mvd("inspect", onnx_file, "--json").stdout)


@pytest.mark.parametrize("name", ["list", "doctor", "devices"])
def test_what_is_known(mvd: Mvd, name: str) -> None:
    check(name, mvd(name, "--json").stdout)


@pytest.mark.parametrize("model", ["cas_vit_m", "lightvit_tiny", "saevit_0p8g", "cloformer_xxs"])
def test_show(mvd: Mvd, model: str) -> None:
    check("show", mvd("show", model, "--json").stdout)


def test_check(mvd: Mvd) -> None:
    Path("checks.toml").write_text(
        f'[[check]]\nmodel = "{TINY}"\nto = "onnx"\ninput_size = 8\nlimits = {{ max_bytes = 100 }}\n'
        '[[check]]\nmodel = "none.py:build"\nto = "onnx"\n'
    )
    document = check("check", mvd("check", "checks.toml", "--json").stdout)
    assert [bool(item["error"]) for item in document["checks"]] == [False, True]


def test_every_schema_is_that_of_a_tested_document() -> None:
    texts = [path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py")]
    checked = {name for text in texts for name in re.findall(r'check(?:_document)?\(\s*"([a-z-]+)"', text)}
    assert set(schemas()) - {"parts"} == checked | {"list", "doctor"}


def test_a_document_of_another_command_is_refused(exported: tuple[Path, str]) -> None:
    document = json.loads(exported[1])
    refusing = [
        name for name in schemas() if name not in ("parts", "export") and not validator(name).is_valid(document)
    ]
    assert len(refusing) == len(schemas()) - 2
