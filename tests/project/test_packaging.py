"""What is installed: the data folders travel with the package, and nothing else leaks out of it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mobilevit_deploy

ROOT = Path(__file__).parents[2]
FOLDERS = ("models", "export_recipes", "devices")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_every_card_and_module(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for folder in FOLDERS:
        for path in (ROOT / folder).glob("*.toml"):
            assert f"mobilevit_deploy/_data/{folder}/{path.name}" in names
    for path in (ROOT / "mobilevit_deploy").rglob("*.py"):
        assert path.relative_to(ROOT).as_posix() in names
    assert "mobilevit_deploy/py.typed" in names
    assert {"mobilevit_deploy/report/page/page.html.jinja", "mobilevit_deploy/report/page/page.css"} <= names
    assert {f"mobilevit_deploy/report/matrix/matrix.{kind}" for kind in ("html.jinja", "css", "js")} <= names
    demo = "mobilevit_deploy/report/demo"
    assert {f"{demo}/{name}" for name in ("cas_vit_xs_digits64.safetensors", "digit.png", "README.md")} <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"mobilevit_deploy", f"mobilevit_deploy-{mobilevit_deploy.__version__}.dist-info"}


def test_the_installed_wheel_finds_its_cards(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    names = "*catalog.models(), *catalog.recipes(), *catalog.devices()"
    code = f"from mobilevit_deploy.catalog import catalog; print(catalog.__file__, {names})"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tmp_path))
    assert "cas_vit_xs" in done.stdout
    assert {"coreml", "executorch", "onnx", "host"} <= set(done.stdout.split())


def test_public_names_exist() -> None:
    for name in mobilevit_deploy.__all__:
        assert getattr(mobilevit_deploy, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mobilevit_deploy.nothing


def test_no_file_is_too_long_or_badly_named() -> None:
    for path in (ROOT / "mobilevit_deploy").rglob("*.py"):
        assert path.stem not in ("utils", "helpers", "common")
        assert len(path.read_text().splitlines()) <= 330, path
