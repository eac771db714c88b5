"""The README's commands are run as they stand there."""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from typer.testing import Result

from tests.conftest import RESEARCH
from tests.golden.digits import digit_images

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()

# What a continuous integration run of the tests is itself part of, or what needs an empty machine.
ELSEWHERE = {"make demo", "make test"}


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


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
