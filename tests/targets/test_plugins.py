"""The targets and packages of the documentation's pages: taken from there, added as the pages say, and used."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TINY = f"{ROOT / 'tests/research/tiny_net.py'}:build"
FILE = "artifacts/tiny_net_build-8x8-fp32.untrained.program"


def blocks(page: str) -> dict[str, str]:
    """Returns the files that a page shows, by their titles."""
    text = (ROOT / "docs" / page).read_text()
    return dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', text, re.DOTALL))


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def install(source: Path, folder: Path) -> Path:
    """Installs a package as a user would, into a folder of its own, from this environment's build backend."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(folder), str(source)], check=True, capture_output=True)
    return folder


def mvd(folder: Path, *arguments: object, path: Path = ROOT, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs the program as a user of the packages in a folder would; ``path`` has mvd itself."""
    environment = {**os.environ, "MVD_CACHE": str(folder / "kept"), **variables}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (folder, path)))
    command = [sys.executable, "-m", "mobilevit_deploy", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def exported(folder: Path, path: Path = ROOT) -> None:
    """Exports with the target of the page, and reads its file in the other commands."""
    done = mvd(folder, "export", TINY, "--to", "program", "--input-size", 8, "--json", path=path)
    assert done.returncode == 0, done.stderr
    (artifact,) = json.loads(done.stdout)["artifacts"]
    assert artifact["parity"]["status"] == "passed"
    assert artifact["path"] == FILE
    assert {rewrite["name"] for rewrite in artifact["rewrites"]} == {"remove_identities", "fold_batch_norm"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both packages of the pages, installed."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    files = blocks("add-a-target.md")
    project = files.pop("pyproject.toml")
    inside = {f"mvd_program/{name}": content for name, content in files.items()}
    write(source / "program", {"pyproject.toml": project, "mvd_program/__init__.py": "", **inside})
    more = {name: content for name, content in blocks("extend.md").items() if name != "lines of a recipe"}
    write(source / "more", {**more, "mvd_more/__init__.py": "", "mvd_more/devices/__init__.py": ""})
    for name in ("program", "more"):
        install(source / name, folder)
    return folder


@pytest.fixture(scope="module")
def used(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both packages, and a file of the page's target."""
    folder = shutil.copytree(installed, tmp_path_factory.mktemp("used") / "here")
    exported(folder)
    return folder


class TestTargetOfAnotherPackage:
    def test_verify_knows_its_file(self, used: Path) -> None:
        verified = mvd(used, "verify", FILE, "--model", TINY)
        assert verified.returncode == 0, verified.stderr

    def test_inspect_knows_its_file(self, used: Path) -> None:
        inspected = mvd(used, "inspect", FILE)
        assert "no findings" in inspected.stdout, inspected.stderr

    def test_its_reason_for_no_latency_is_given(self, installed: Path) -> None:
        refused = mvd(installed, "latency", "net.program", "--backend", "torch")
        assert refused.returncode == 1
        assert "nobody runs a phone's model in Python" in refused.stderr

    def test_a_wrong_file_is_caught(self, installed: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(installed, tmp_path / "here")
        runner = folder / "mvd_program" / "runner.py"
        runner.write_text(runner.read_text().replace("[np.asarray(output)", "[1.001 * np.asarray(output)"))
        done = mvd(folder, "export", TINY, "--to", "program", "--input-size", 8)
        assert done.returncode == 3, done.stderr
        assert not (folder / "artifacts").exists() or not list((folder / "artifacts").iterdir())

    def test_one_that_cannot_be_imported_is_named(self, installed: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(installed, tmp_path / "here")
        (folder / "mvd_program" / "__init__.py").write_text("raise RuntimeError('planted')\n")
        done = mvd(folder, "export", TINY, "--to", "program", "--input-size", 8)
        assert done.returncode == 1
        assert "program, which mvd-program adds to mobilevit_deploy.targets, cannot be used" in done.stderr
        assert "planted" in done.stderr
        assert mvd(folder, "list").returncode == 0, "the other commands still work"


def test_a_target_in_the_repository_is_a_folder_and_a_recipe(tmp_path: Path) -> None:
    for name in ("mobilevit_deploy", "models", "export_recipes", "devices"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    files = blocks("add-a-target.md")
    (tmp_path / "export_recipes" / "program.toml").write_text(files["recipe.toml"])
    package = tmp_path / "mobilevit_deploy" / "targets" / "program"
    write(package, {"__init__.py": '"""PyTorch."""\n', **{name: files[name] for name in ("convert.py", "runner.py")}})
    exported(tmp_path, path=tmp_path)


class TestOtherParts:
    def test_a_source_of_models_and_a_rewrite(self, installed: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(installed, tmp_path / "here")
        recipe = (ROOT / "export_recipes" / "onnx.toml").read_text().replace('name = "onnx"', 'name = "mine"', 1)
        added = blocks("extend.md")["lines of a recipe"]
        (folder / "mine.toml").write_text(recipe.replace("[tolerances.fp32]", f"{added}\n[tolerances.fp32]", 1))
        done = mvd(
            folder, "export", "nets:small8", "--to", "onnx", "--input-size", 32, "--recipe", "mine.toml", "--json"
        )
        assert done.returncode == 0, done.stderr
        (artifact,) = json.loads(done.stdout)["artifacts"]
        assert artifact["model"] == "nets_small8"
        assert artifact["ops"]["Relu"] == 1
        results = {result["name"]: result for result in artifact["rewrites"]}
        names = list(results)
        assert results["drop_double_relu"]["applied"] == 1
        assert results["drop_double_relu"]["max_rel_difference"] == 0
        assert names.index("drop_double_relu") == names.index("fold_batch_norm") - 1

    def test_a_name_that_the_source_does_not_know(self, installed: Path) -> None:
        unknown = mvd(installed, "export", "nets:large", "--to", "onnx", "--input-size", 32)
        assert unknown.returncode == 1
        assert "mvd_more.nets:build is given 'large' and must return an nn.Module" in unknown.stderr

    def test_a_device(self, installed: Path) -> None:
        done = mvd(installed, "devices", "--json")
        assert done.returncode == 0, done.stderr
        profiles = {profile["name"]: profile for profile in json.loads(done.stdout)["profiles"]}
        assert profiles["iphone_99"]["chip"] == "A99"
