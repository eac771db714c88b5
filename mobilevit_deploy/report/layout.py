"""How results lie on a screen: tables that become lists where they are too wide, and lines that break between words.

Rich breaks a word that is longer than its column, and pads every line; a file's name or a command that is broken cannot
be copied. So the widths and the lines are found here, and Rich draws them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 2  # blanks between two columns
NARROWEST = 12  # of a column of sentences; below it they are easier to read in a list
NARROWEST_FACT = 28  # of what stands behind a key
INDENT = 2


class ResultTable:
    """A table; where its words do not fit beside each other, a heading and a paragraph for each row."""

    def __init__(
        self,
        *columns: str,
        numbers: Sequence[str] = (),
        whole: Sequence[str] = (),
        of: Mapping[str, str] | None = None,
    ) -> None:
        """Makes an empty table.

        Args:
            columns: their titles.
            numbers: those that are aligned to the right, and stay on one line.
            whole: others that stay on one line.
            of: what the text around it says of all its rows; columns of their own where it stands alone, as in CSV.
        """
        self.columns = columns
        self.rows: list[tuple[Text, ...]] = []
        self.numbers, self._whole = numbers, (*numbers, *whole)
        self.of: Mapping[str, str] = of or {}

    def add_row(self, *cells: str | Text) -> None:
        """Adds a row, with a cell for each column."""
        self.rows.append(tuple(cell if isinstance(cell, Text) else Text(cell) for cell in cells))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = self._widths(options.max_width)
        yield from self._as_list() if widths is None else (self._as_table(widths),)
        yield Text()

    def _as_table(self, widths: Sequence[int]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, GAP - 1, 0, 0))
        for column, width in zip(self.columns, widths, strict=True):
            number = column in self.numbers
            table.add_column(Text(column), justify="right" if number else "left", width=width)
        for row in self.rows:
            table.add_row(*row)
        return table

    def _as_list(self) -> Iterator[RenderableType]:
        """Yields the first column's title, then a cell of it and the rest of its row, over and over."""
        yield Text(self.columns[0], style="underline")
        for row in self.rows:
            yield Paragraph(Text.assemble(row[0], style="bold"), indent=len(row[0].plain) - len(row[0].plain.lstrip()))
            known = [(column, cell) for column, cell in zip(self.columns[1:], row[1:], strict=True) if cell]
            parts = [Text(f"{column}: " if column else "").append_text(_on_one_line(cell)) for column, cell in known]
            if parts:
                yield Paragraph(Text("; ").join(parts), Text(" " * INDENT), INDENT)

    def _widths(self, room: int) -> list[int] | None:
        """Returns the width of each column, in columns of a terminal with ``room`` of them; None where no word fits."""
        cells = [[Text(title), *column] for title, column in zip(self.columns, self._by_column(), strict=True)]
        full = [max(map(_width, column)) for column in cells]
        least = [
            width if title in self._whole else max(max(map(_longest_word, column)), min(width, NARROWEST))
            for title, column, width in zip(self.columns, cells, full, strict=True)
        ]
        spare = room - sum(least) - GAP * (len(least) - 1)
        if spare < 0:
            return None
        by_need = sorted(range(len(full)), key=lambda i: full[i] - least[i])
        for place, i in enumerate(by_need):  # who needs little gets it, and the others share what is left
            more = min(full[i] - least[i], spare // (len(by_need) - place))
            least[i], spare = least[i] + more, spare - more
        return least

    def _by_column(self) -> list[tuple[Text, ...]]:
        return list(zip(*self.rows, strict=True)) or [()] * len(self.columns)


class Facts:
    """Keys and what is known of each, a line for each key; below each other where the terminal is narrow."""

    def __init__(self, rows: Mapping[str, str | Text], indent: int = 0, of: Mapping[str, str] | None = None) -> None:
        self.columns, self.numbers, self.of = ("", ""), (), of or {}
        self.rows = [(Text(key), value if isinstance(value, Text) else Text(value)) for key, value in rows.items()]
        self._indent = indent

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        start = Text(" " * self._indent)
        width = max((_width(key) for key, _ in self.rows), default=0) + INDENT + self._indent
        beside = options.max_width - width >= max([NARROWEST_FACT, *(_longest_word(value) for _, value in self.rows)])
        for key, value in self.rows:
            shown = start + Text(key.plain, style="bold")
            if beside:
                shown.pad_right(width - _width(shown))
                yield Paragraph(value, shown, width)
            else:
                yield Paragraph(Text.assemble(start, (key.plain, "bold"), ": ", value), indent=self._indent + INDENT)


class Paragraph:
    """Text that is broken between words only; a word longer than the line stands on a line of its own, whole."""

    def __init__(self, text: Text, first: Text | None = None, indent: int = 0, end: str = "") -> None:
        """Makes a paragraph.

        Args:
            text: of one or more lines.
            first: what stands before it on the first line.
            indent: blanks before the other lines.
            end: what stands at the end of each line but the last, such as the backslash of a shell.
        """
        self.text, self._first, self._indent, self._end = text, first or Text(), indent, end

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - self._indent - len(self._end)
        lines = [line for whole in self.text.split("\n", allow_blank=True) for line in _break(whole, room)]
        for number, line in enumerate(lines):
            start = self._first if number == 0 else Text(" " * self._indent)
            end = self._end if number < len(lines) - 1 else ""
            yield Text.assemble(start, line, end, no_wrap=True, overflow="ignore")


def command(text: str) -> Paragraph:
    """Returns a command to type; where it is longer than the line, a shell reads it all the same."""
    return Paragraph(Text(text), Text(" " * INDENT), 2 * INDENT, " \\")


def parts(result: RenderableType) -> Iterator[RenderableType]:
    """Yields what a result consists of, in order: groups are taken apart, and text becomes paragraphs."""
    if isinstance(result, Group):
        for item in result.renderables:
            yield from parts(item)
    elif isinstance(result, Text):
        indent = len(result.plain) - len(result.plain.lstrip(" "))
        yield Paragraph(result, indent=indent)
    else:
        yield result


def _break(line: Text, room: int) -> Iterator[Text]:
    """Yields a line in pieces of at most ``room`` columns, but for longer words."""
    blanks = len(line.plain) - len(line.plain.lstrip(" "))
    current = Text()
    for word in line[blanks:].split(" ") if line else ():
        if not current.plain.strip():
            current = Text(" " * blanks) + word
        elif _width(current) + 1 + _width(word) > room:
            yield current
            current = word
        else:
            current = Text.assemble(current, " ", word)
    yield current


def _on_one_line(cell: Text) -> Text:
    return Text(", ").join(cell.split("\n"))


def _width(cell: Text) -> int:
    return max(map(cell_len, cell.plain.split("\n")), default=0)


def _longest_word(cell: Text) -> int:
    return max(map(cell_len, cell.plain.split()), default=0)
