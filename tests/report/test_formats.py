"""A result in other forms than a terminal's."""

import csv

from rich.console import Group
from rich.text import Text

from mobilevit_deploy.report.formats import as_csv, as_markdown
from mobilevit_deploy.report.layout import Facts, ResultTable


def result() -> Group:
    table = ResultTable("artifact", "p50 ms", numbers=("p50 ms",))
    table.add_row("a|b,[bold]c.onnx", "1.50")
    table.add_row("two\nlines \x1b[31m", Text("2.50", style="red"))
    return Group(Text("measured here"), Group(table), Facts({"parity": "computes <the> same"}))


def test_csv_has_the_cells_of_each_table() -> None:
    first, second = as_csv(result()).split("\n\n")
    assert list(csv.reader(first.splitlines())) == [
        ["artifact", "p50 ms"],
        ["a|b,[bold]c.onnx", "1.50"],
        ["two, lines ?[31m", "2.50"],
    ]
    assert list(csv.reader(second.splitlines())) == [["parity", "computes <the> same"]]


def test_markdown_has_lines_too_and_no_mark_of_a_name() -> None:
    assert as_markdown(result()).splitlines() == [
        "measured here",
        "",
        "| artifact | p50 ms |",
        "|---|---:|",
        r"| a\|b,\[bold\]c.onnx | 1.50 |",
        r"| two, lines ?\[31m | 2.50 |",
        "",
        "|  |  |",
        "|---|---|",
        r"| parity | computes \<the\> same |",
    ]
