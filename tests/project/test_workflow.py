"""What the jobs of continuous integration run."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mobilevit_deploy.catalog import catalog
from tests.conftest import SLOW

ROOT = Path(__file__).parents[2]
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def jobs() -> list[str]:
    """Returns what the slow jobs give to ``pytest -k``."""
    (found,) = re.findall(r"only: \[(.*)\]", WORKFLOW)
    return [job.strip("\"'") for job in found.split(", ")]


def test_the_workflow_has_a_job_for_every_family() -> None:
    assert {card.family.family for card in catalog.models().values()} <= set(jobs())


def test_every_slow_test_is_in_a_job(request: pytest.FixtureRequest) -> None:
    """Of those that this run has found, whether it takes them or not: of all, in a run of everything."""
    words = [word for job in jobs() for word in job.split(" or ")]
    left = [item.nodeid for item in request.config.stash[SLOW] if not any(map(is_in(item), words))]
    assert left == []


def is_in(item: pytest.Item) -> Callable[[str], bool]:
    """Returns what tells whether ``-k`` takes a test by a word: it is in the name of the test, its module or a mark."""
    parts = [part.name for part in item.listchain() if not isinstance(part, pytest.Session | pytest.Directory)]
    names = [*parts, *(mark.name for mark in item.iter_markers())]
    return lambda word: any(word.lower() in name.lower() for name in names)


def test_a_job_that_takes_nothing_would_be_seen(request: pytest.FixtureRequest) -> None:
    assert not is_in(request.node)("lightvit")
    assert is_in(request.node)("workflow")
    assert is_in(request.node)("takes_nothing")
