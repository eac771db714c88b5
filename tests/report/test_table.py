"""Names in tables are whole, however narrow the terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from mobilevit_deploy.report.layout import ResultTable
from mobilevit_deploy.report.table import milliseconds, share

NAME = "cas_vit_m-224x224-fp32.untrained.onnx"


def shown(table: ResultTable, width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(table, crop=False)
    return file.getvalue()


def make() -> ResultTable:
    table = ResultTable("artifact", "p50 ms", "reason", "stable", numbers=("p50 ms",))
    table.add_row(NAME, "1.50", "", Text("yes", style="green"))
    table.add_row("b.onnx", "2.50", "long", Text("no"))
    return table


def test_a_line_for_each_row_where_there_is_room() -> None:
    lines = [line.split() for line in shown(make(), 80).splitlines()]
    assert [NAME, "1.50", "yes"] in lines
    assert ["b.onnx", "2.50", "long", "no"] in lines


@given(width=st.integers(len(NAME), 200))
def test_nothing_is_broken_or_lost(width: int) -> None:
    text = shown(make(), width)
    assert all(word in text for word in (NAME, "1.50", "2.50", "yes", "long", "no", "p50 ms", "stable"))
    assert max(len(line) for line in text.splitlines()) <= width


def test_a_paragraph_for_each_row_elsewhere() -> None:
    assert [line.rstrip() for line in shown(make(), 44).splitlines()] == [
        "artifact",
        NAME,
        "  p50 ms: 1.50; stable: yes",
        "b.onnx",
        "  p50 ms: 2.50; reason: long; stable: no",
        "",
    ]


@pytest.mark.parametrize(("value", "shown"), [(31.456, "31.46"), (0.1, "0.10"), (0.0123456, "0.0123"), (0.0, "0")])
def test_a_short_time_keeps_its_digits(value: float, shown: str) -> None:
    assert milliseconds(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(4.2e-4, "4e-4"), (1e-12, "1e-12"), (0.0, "0"), (2.0, "2e0"), (float("inf"), "inf"), (float("nan"), "nan")],
)
def test_a_small_share_is_a_power_of_ten(value: float, shown: str) -> None:
    assert share(value) == shown
