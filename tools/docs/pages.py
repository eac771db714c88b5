"""Every page of the documentation: those in ``docs/``, and those that the code writes when the site is built."""

from pathlib import Path

from tools.docs import commands, keys, python_api, rewrite_lists, schemas

DOCS = Path(__file__).parents[2] / "docs"


def generated() -> dict[str, str]:
    """Returns the pages that no one writes by hand, by their paths."""
    return {**commands.pages(), **keys.pages(), **python_api.pages(), **schemas.pages()}


def written() -> dict[str, str]:
    """Returns the pages in ``docs/`` as they are shown, by their paths."""
    paths = [path.relative_to(DOCS).as_posix() for path in sorted(DOCS.rglob("*.md"))]
    return {path: rewrite_lists.complete(path, (DOCS / path).read_text(encoding="utf-8")) for path in paths}


def every_page() -> dict[str, str]:
    """Returns all pages in Markdown, by their paths."""
    return {**written(), **generated()}
