"""What stands on a screen of 50, 80 and 160 columns; see ``make_screens`` for how the files are written anew."""

import re
from collections.abc import Iterator, Mapping

import pytest
from rich.console import RenderableType

from mobilevit_deploy.report.layout import Facts, Paragraph, parts
from tests.report.make_screens import FOLDER, WIDTHS, draw, export, help_of, screens

NAMES = (
    "list", "show", "devices", "export", "export-v", "verify", "inspect", "latency", "profile", "quantize", "check",
    "predict", "compare", "doctor", "matrix",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, RenderableType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("screens"))
        yield screens(export())


def words_of(text: str) -> set[str]:
    return {word.strip(":;,\\") for word in text.split()}


def words_in(screen: RenderableType) -> set[str]:
    """Returns the words that a screen is made of, before it is laid out."""
    found = set()
    for part in parts(screen):
        if isinstance(part, Paragraph):
            found |= words_of(part.text.plain)
        else:
            found |= words_of(" ".join([*part.columns, *(cell.plain for row in part.rows for cell in row)]))  # type: ignore[union-attr]
    return found


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_a_screen(name: str, width: int, made: Mapping[str, RenderableType]) -> None:
    text = draw(made[name], width)
    whole = words_in(made[name]) | {""}
    broken = [word for word in words_of(re.sub("─+", "", text)) if word not in whole]
    assert not broken
    wide = [line for line in text.splitlines() if len(line) > width and len(line.removesuffix(" \\").split()) > 1]
    assert not wide
    assert text == (FOLDER / f"{name}-{width}.txt").read_text(encoding="utf-8"), (
        "if it is meant: python -m tests.report.make_screens"
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_a_help(width: int) -> None:
    text = help_of("latency", width)
    assert text == (FOLDER / f"help-{width}.txt").read_text(encoding="utf-8")
    wide = [line for line in text.splitlines() if len(line) > width]
    assert [line.split()[0] for line in wide] in ([], ["mvd"]), "the example alone is one line, to be copied"
    assert words_of(text) <= words_of(help_of("latency", 160))


def test_an_export_is_one_screen(made: Mapping[str, RenderableType]) -> None:
    assert len(draw(made["export"], 80).splitlines()) <= 24


def test_every_screen_is_looked_at(made: Mapping[str, RenderableType]) -> None:
    assert tuple(made) == NAMES
    files = {f"{name}-{width}.txt" for name in (*NAMES, "help") for width in WIDTHS}
    assert {path.name for path in FOLDER.iterdir()} == files
    assert any(isinstance(part, Facts) for part in parts(made["verify"]))
