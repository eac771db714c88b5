"""Which languages there is a template of, by the target; importing this costs nothing."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path

from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.errors import UsageError, printable

PACKAGE = "mobilevit_deploy.report.snippet"
SUFFIX = ".jinja"
# Of files with code, for a name that tells its language.
CODE_SUFFIXES = {
    ".py": "python", ".cpp": "cpp", ".cc": "cpp", ".mjs": "javascript", ".js": "javascript", ".kt": "kotlin",
    ".swift": "swift",
}  # fmt: skip

MARK = "Written by mvd"  # stands in the first lines of all code here
FIRST_LINES = 4096  # bytes


def check_place(path: Path) -> None:
    """Raises UsageError for a name that code cannot have, and for a file that is there and is no such code."""
    if path.suffix.lower() not in CODE_SUFFIXES:
        raise UsageError(f"--out {printable(str(path))} is no name for code", f"end it in {' or '.join(CODE_SUFFIXES)}")
    if path.is_file():
        with path.open("rb") as file:
            first = file.read(FIRST_LINES)
        if MARK.encode() not in first:
            raise UsageError(f"{printable(str(path))} is there, and mvd did not write it", "give --out another name")


@cache
def languages() -> Mapping[str, tuple[str, ...]]:
    """Returns the languages of each target that has any, the most usual one of its apps first."""
    found: dict[str, list[str]] = {}
    for folder in sorted(files(PACKAGE).joinpath("templates").iterdir(), key=lambda item: item.name):
        names = (item.name for item in folder.iterdir() if item.name.endswith(SUFFIX) and not item.name.startswith("_"))
        for name in names:
            found.setdefault(name.removesuffix(SUFFIX), []).append(folder.name)
    return {
        target: tuple(sorted(names, key=lambda name: (name != format_of(target).language, name)))
        for target, names in found.items()
    }


def language_of(target: str, asked: str | None) -> str:
    """Returns the language that was asked for, or that of most apps with such a file.

    Raises:
        UsageError: there is no template of it, or none of the target.
    """
    there = languages().get(target, ())
    if not there:
        others = ", ".join(format_of(name).title for name in sorted(languages()))
        raise UsageError(f"there is no code for {format_of(target).title} files", f"there is for: {others}")
    if asked is not None and asked not in there:
        near = [CODE_SUFFIXES.get(f".{asked.lower()}", ""), *get_close_matches(asked.lower(), there, n=1)]
        meant = next((name for name in near if name in there), None)
        raise UsageError(
            f"{format_of(target).title} files are not run in {printable(asked[:40])} here",
            f"did you mean --lang {meant}?" if meant else f"give --lang {' or '.join(there)}",
        )
    return asked or there[0]
