"""What may import what: the contracts of pyproject.toml hold, and each is broken by what it is there against."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.architecture import LAYERS, PACKAGE, ROOT, TOOLS

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"
OWN = PACKAGE.name
IMPORTS: Mapping[str, Mapping[str, str]] = TOOLS[OWN]

LAYER = "each package imports what stands below it, and nothing above"
TARGETS = "no target knows of another"
CIRCLE = "no circle, in any package"
HEAVY = "the command line imports nothing heavy by itself"

BROKEN = {
    "a target, another": ("targets/onnx/files.py", f"import {OWN}.targets.coreml.quiet", TARGETS),
    "a lower package, a higher": ("graph/graph.py", f"import {OWN}.export.report", LAYER),
    "the same in a function": ("graph/graph.py", f"def late():\n    import {OWN}.export.report", LAYER),
    "the same for types": (
        "graph/graph.py",
        f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {OWN}.export.report",
        LAYER,
    ),
    "a circle in a package": ("graph/graph.py", f"import {OWN}.graph.capture", CIRCLE),
    "a circle below a package": ("targets/coreml/mil/step.py", f"import {OWN}.targets.coreml.mil.evaluate", CIRCLE),
    "a package without a layer": ("colours/__init__.py", "", LAYER),
    "torch in a command": ("cli/list.py", "import torch", HEAVY),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its contracts, to spoil."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / OWN, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> tuple[int, str]:
    """Returns the exit code of ``lint-imports`` in a folder, and what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"COLUMNS": "200"}
    command = [sys.executable, "-c", LINT, "--no-cache"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_the_contracts_hold(copy: Path) -> None:
    code, text = lint(copy)
    assert code == 0, text
    assert all(f"{name} KEPT" in text for name in (LAYER, TARGETS, CIRCLE, HEAVY))


@pytest.mark.parametrize("case", BROKEN)
def test_a_wrong_import_breaks_its_contract(copy: Path, case: str) -> None:
    place, line, contract = BROKEN[case]
    path = copy / OWN / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{path.read_text() if path.exists() else ''}\n{line}\n")
    code, text = lint(copy)
    assert code != 0
    assert f"{contract} BROKEN" in text, text


def test_the_layers_are_the_packages() -> None:
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(LAYERS) == found - {"__init__", "__main__"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts), ast.parse(path.read_text())


def imports_inside_functions(tree: ast.AST) -> list[str]:
    """Returns the imports of this package inside functions."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = {
        node for function in functions for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)
    }
    own = [
        node
        for node in found
        if (isinstance(node, ast.ImportFrom) and ((node.module or "").split(".")[0] == OWN or node.level))
        or any(alias.name.split(".")[0] == OWN for alias in node.names)
    ]
    return [ast.unparse(node) for node in own]


def imports_by_name(tree: ast.AST) -> list[str]:
    """Returns calls that import a module by a name that they are given."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        ast.unparse(call)
        for call in calls
        if ast.unparse(call.func).rsplit(".", 1)[-1] in ("import_module", "__import__", "run_module")
    ]


def allowed(name: str, listed: Mapping[str, str]) -> str | None:
    """Returns the entry of the list that a module comes under."""
    return next((key for key in listed if key == name or (key.endswith(".*") and name.startswith(key[:-1]))), None)


@pytest.mark.parametrize(
    ("kind", "find"), [("imports_inside_functions", imports_inside_functions), ("imports_by_name", imports_by_name)]
)
def test_imports_that_are_not_at_the_top_are_listed_with_a_reason(kind: str, find: object) -> None:
    listed = IMPORTS[kind]
    assert callable(find)
    found = {name: lines for name, tree in modules() if (lines := find(tree))}
    unlisted = {name: lines for name, lines in found.items() if allowed(name, listed) is None}
    assert unlisted == {}, f"move them to the top, or add the module, with its reason, to {kind} in pyproject.toml"
    assert {allowed(name, listed) for name in found} == set(listed), "an entry that nothing needs"


def test_an_import_inside_a_function_is_found() -> None:
    tree = ast.parse(f"import {OWN}.errors\ndef late():\n    from {OWN}.export import cache\n    import json\n")
    assert imports_inside_functions(tree) == [f"from {OWN}.export import cache"]
    assert imports_by_name(ast.parse("import importlib\nimportlib.import_module('json')")) != []
    assert allowed("cli.export", {"cli.*": ""}) == "cli.*"
    assert allowed("client", {"cli.*": ""}) is None
