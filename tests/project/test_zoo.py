"""The page of other libraries' models says what their exports said."""

import tomllib
from dataclasses import replace

import pytest

from benchmarks.zoo import LISTS, PASSED, page, read
from tests.project.pages import ROOT

ROWS = read(ROOT / "docs/models.json")


def test_the_page_is_that_of_the_rows() -> None:
    assert (ROOT / "docs/models.md").read_text() == page(ROWS)


def test_a_failure_is_counted_and_has_its_reason() -> None:
    failed = [replace(ROWS[0], exit=1, verdict="the converter *refused* a|b"), *ROWS[1:]]
    text = page(failed)
    assert text != page(ROWS)
    assert "see below" in text
    assert "the converter \\*refused\\* a\\|b" in text


def test_every_row_is_of_a_list() -> None:
    lists = tomllib.loads(LISTS.read_text())
    assert all(row.model in lists[row.list]["sizes"] for row in ROWS)
    assert all(row.exit == 0 for row in ROWS if row.verdict == PASSED)
    for part in lists.values():
        assert set(part.get("build", part["sizes"])) == set(part["sizes"])


@pytest.mark.parametrize("name", tomllib.loads(LISTS.read_text()))
def test_lists_are_named_by_their_library(name: str) -> None:
    part = tomllib.loads(LISTS.read_text())[name]
    assert "{name}" in part["model"] or "{folder}" in part["model"]
