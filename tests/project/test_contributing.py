"""CONTRIBUTING.md is true: its paths and names exist, its code is the code, and its example runs."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from mobilevit_deploy.rewrites.proof import PROOF_LIMIT
from tests.support.paths import missing_paths

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
NAMED = re.findall(r"`(\w+)` in `([\w/]+\.py)`", TEXT)
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


def test_every_path_exists() -> None:
    assert missing_paths(TEXT) == []


def test_every_link_within_the_page_has_its_heading() -> None:
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= headings


@pytest.mark.parametrize(("name", "place"), NAMED)
def test_every_name_is_in_its_file(name: str, place: str) -> None:
    tree = ast.parse((ROOT / place).read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    values = [node.targets for node in tree.body if isinstance(node, ast.Assign)]
    values += [[node.target] for node in tree.body if isinstance(node, ast.AnnAssign)]
    assert name in functions | {ast.unparse(target) for targets in values for target in targets}


def test_names_are_looked_for() -> None:
    assert len(NAMED) >= 8


def test_the_page_has_every_target_of_the_makefile_and_no_other() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (targets,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", TEXT, re.MULTILINE)) == set(targets.split())


def test_the_commands_are_of_make_or_run_a_test_file_that_exists() -> None:
    others = [command for command in COMMANDS if not command.startswith("make ")]
    assert others
    for command in others:
        found = re.fullmatch(r"\.venv/bin/python -m pytest -q (tests/\S+)", command)
        assert found, command
        assert (ROOT / found[1]).exists()


def test_the_rewrite_and_its_test_stand_there_as_they_are() -> None:
    rewrite, _, test = PYTHON
    assert rewrite == (ROOT / "mobilevit_deploy" / "rewrites" / "activation" / "fuse_silu.py").read_text()
    file = (ROOT / "tests" / "rewrites" / "activation" / "test_fuse_silu.py").read_text()
    assert test.startswith("def test_a_wrong_version_is_caught(")
    assert f"\n\n{test}" in file


def test_the_proof_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(PYTHON[1], names)  # noqa: S102 - our own page
    assert names["wrong"].results[0].applied == ()
    printed = capsys.readouterr().out.strip()
    pattern = r"not proved: differs by \S+ of the largest output, above 1e-12"
    assert re.fullmatch(pattern, printed)
    assert re.search(f"# {pattern}", PYTHON[1])
    assert f"`PROOF_LIMIT`, {PROOF_LIMIT:.0e} of the largest" in TEXT


def test_the_limits_of_a_file_are_those_of_the_test() -> None:
    packaging = (Path(__file__).parent / "test_packaging.py").read_text()
    for limit in re.findall(r"longer than (\d+) lines", TEXT):
        assert f"<= {limit}" in packaging
    assert all(f'"{name}"' in packaging for name in ("utils", "helpers", "common"))
