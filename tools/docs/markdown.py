"""Markdown from what code holds: tables, and docstrings."""

import re
from collections.abc import Iterable, Sequence

WORDS_IN_QUOTES = re.compile(r"``(.+?)``", re.DOTALL)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table; what a cell holds stays in its cell."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def code(text: str) -> str:
    """Returns a text as code, or nothing for nothing."""
    return f"`{text}`" if text else ""


def prose(docstring: str) -> str:
    """Returns a docstring's text with its names as Markdown's code."""
    return WORDS_IN_QUOTES.sub(lambda match: code(" ".join(match[1].split())), docstring)


def from_docstring(docstring: str) -> str:
    """Returns a docstring in Markdown: the blocks that ``::`` announces become blocks of code."""
    parts = []
    lines: list[str] = []
    in_block = False
    for line in docstring.splitlines():
        if line.strip() == "::" or (in_block and line and not line.startswith(" ")):
            parts.append(fence(lines) if in_block else prose("\n".join(lines).strip()))
            in_block = not in_block
            lines = [] if in_block else [line]
        else:
            lines.append(line)
    parts.append(fence(lines) if in_block else prose("\n".join(lines).strip()))
    return "\n\n".join(part for part in parts if part)


def fence(lines: Sequence[str]) -> str:
    """Returns lines as a block of text, without the margin and the empty lines around them."""
    text = "\n".join(line[4:] for line in lines).strip("\n")
    return f"```text\n{text}\n```"


def attributes(docstring: str) -> dict[str, str]:
    """Returns what the ``Attributes:`` of a docstring say, by name."""
    _, found, section = docstring.partition("Attributes:\n")
    if not found:
        return {}
    entries: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if match := re.fullmatch(r" {4}(\w+): (.*)", line):
            name = match[1]
            entries[name] = match[2]
        elif line.startswith(" " * 8) and name:
            entries[name] += f" {line.strip()}"
        elif line.strip():
            break
    return {key: prose(value) for key, value in entries.items()}


def without_attributes(docstring: str) -> str:
    """Returns what a docstring says in front of its ``Attributes:``."""
    return prose(docstring.partition("Attributes:\n")[0].strip())
