"""What the tests of the documentation read: the README and every page, those that the code writes among them."""

import re
import textwrap
from pathlib import Path

from tools.docs.pages import every_page

ROOT = Path(__file__).parents[2]
README = "README.md"

# What a continuous integration run of the tests is itself part of, or what needs an empty machine.
ELSEWHERE = {"make demo", "make test", "make docs"}


def pages() -> dict[str, str]:
    """Returns the README and every page in Markdown, by their paths in the repository."""
    return {
        README: (ROOT / README).read_text(encoding="utf-8"),
        **{f"docs/{path}": text for path, text in every_page().items()},
    }


def blocks(text: str, language: str) -> list[str]:
    """Returns a page's blocks in a language, those inside of lists too."""
    found: list[str] = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


def commands(text: str) -> list[str]:
    """Returns the commands of a page, which stand in blocks marked ``sh``."""
    return [line for block in blocks(text, "sh") for line in block.splitlines() if line]


def without_code(text: str) -> str:
    """Returns a page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Returns what a link may name behind a page: its headings, as MkDocs writes them."""
    titles = re.findall(r"^#+ (.*)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}
