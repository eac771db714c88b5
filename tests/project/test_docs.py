"""The README's commands are run as they stand there."""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from tests.conftest import RESEARCH
from tests.golden.digits import digit_images

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

# What a continuous integration run of the tests is itself part of, or what needs an empty machine.
ELSEWHERE = {"make demo", "make test"}


CI = (ROOT / "docs" / "ci.md").read_text()


def blocks(page: str, language: str) -> list[str]:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    return found


def commands(page: str = README) -> list[str]:
    return [line for block in blocks(page, "sh") for line in block.splitlines() if line]


@pytest.mark.slow
def test_every_command_of_the_readme_works(mvd: Callable[..., Result], digits_checkpoint: Path) -> None:
    shutil.copy(digits_checkpoint, "checkpoint_best.pth")
    shutil.copy(RESEARCH / "additive_net.py", "my_net.py")
    images, labels = digit_images()
    np.savez("digits.npz", images=images[:40], labels=labels[:40])
    ran = []
    for command in commands():
        if command in ELSEWHERE:
            continue
        program, *arguments = shlex.split(command)
        assert program == "mvd"
        result = mvd(*arguments)
        assert result.exit_code == 0, f"{command}\n{result.stderr}"
        ran.append(arguments[0])
    assert {"list", "show", "export", "verify", "latency", "profile", "compare", "report"} <= set(ran)
    names = {path.name for path in Path("artifacts").iterdir()}
    assert {"cas_vit_xs-64x64-fp32.onnx", "my_net_build-256x192-fp16.untrained.mlpackage"} <= names


@pytest.mark.slow
def test_the_checks_of_the_page_on_ci_work(mvd: Callable[..., Result], digits_checkpoint: Path) -> None:
    shutil.copy(digits_checkpoint, "checkpoint_best.pth")
    images, labels = digit_images()
    np.savez("digits.npz", images=images[:40], labels=labels[:40])
    (file,) = blocks(CI, "toml")
    Path("checks.toml").write_text(file)
    for command in commands(CI):
        result = mvd(*shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}\n{result.output}"
    assert Path("out/summary.md").read_text().startswith("### mvd check: ")
    assert Path("baselines/digits.onnx").exists()


@pytest.mark.slow
def test_the_examples_of_the_python_page_run(
    digits_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(digits_checkpoint, "checkpoint_best.pth")
    names: dict[str, Any] = {}
    for block in blocks((ROOT / "docs" / "python.md").read_text(), "python"):
        exec(block, names)  # noqa: S102 - our own page
    assert names["check"].failed, "the page's check asks for trained weights, and gives none"
    assert {"inspection", "profile", "pair", "latency", "report"} <= names.keys()


def test_every_gate_is_in_the_page_on_ci() -> None:
    from mobilevit_deploy.checks.plan import Limits

    assert {name for name in Limits.model_fields if f"`{name}" not in CI} == set()


def test_make_has_the_two_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE) for command in ELSEWHERE)


def test_every_option_of_export_is_in_the_readme(mvd: Callable[..., Result]) -> None:
    from mobilevit_deploy.cli.export import export

    options = {f"--{name.replace('_', '-')}" for name in export.__annotations__ if name not in ("model", "return")}
    assert {option for option in options if option not in README} == set()
    assert mvd("export", "--help").exit_code == 0


def test_every_link_leads_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"
