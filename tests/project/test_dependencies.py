"""What is installed beside the program: ranges with their reasons, and a lock file that keeps to them."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "pyproject.toml").read_text()
PROJECT = tomllib.loads(TEXT)["project"]
NEEDED = [Requirement(text) for text in PROJECT["dependencies"]]
OWN = PROJECT["name"]  # an extra may take in another
UNLOCKED = ("litert",)  # whose packages want older ones than those of the lock file
EXTRAS = [
    Requirement(text)
    for name, extra in PROJECT["optional-dependencies"].items()
    for text in extra
    if name not in UNLOCKED and not text.startswith(f"{OWN}[")
]
LOCK = (ROOT / ".ci" / "requirements.lock").read_text().splitlines()
LOCKED = dict(line.split("==") for line in LOCK if not line.startswith("#"))


@pytest.mark.parametrize("requirement", [*NEEDED, *EXTRAS], ids=str)
def test_the_lock_file_keeps_to_the_ranges(requirement: Requirement) -> None:
    version = LOCKED[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(Version(version))
    assert any(item.operator in (">=", "==") for item in requirement.specifier), "no oldest release"


@pytest.mark.parametrize("requirement", NEEDED, ids=str)
def test_every_dependency_has_its_reason_and_its_end(requirement: Requirement) -> None:
    (line,) = [line for line in TEXT.splitlines() if line.strip().startswith(f'"{requirement.name}>=')][:1]
    assert re.search(r"# \w+", line)
    if requirement.name != "pillow":  # its line says why
        assert any(item.operator == "<" for item in requirement.specifier), "no first release that may break it"


def test_the_lock_file_names_versions_alone() -> None:
    """No host and no path, which another machine lacks, and no build, of which torch has several."""
    for name, version in LOCKED.items():
        assert name == canonicalize_name(name)
        assert str(Version(version)) == version
        assert Version(version).local is None
