"""The verdicts for people, for pull requests, for CI servers and for programs."""

from collections.abc import Sequence
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.checks.run import Checked
from mobilevit_deploy.checks.verdict import Verdict
from mobilevit_deploy.report.formats import escape, markdown_row
from mobilevit_deploy.report.layout import ResultTable
from mobilevit_deploy.system.json_text import SCHEMA

STYLES = {"passed": "green", "failed": "bold red", "undecided": "yellow", "error": "bold red"}
MARKS = {"passed": "✅", "failed": "❌", "undecided": "❔", "error": "💥"}


def summary(checks: Sequence[Checked]) -> RenderableType:
    """Returns a table with a line per gate."""
    table = ResultTable("check", "gate", "verdict", "found", "limit")
    reasons = []
    for check in checks:
        if check.error:
            table.add_row(check.title, "", Text("error", style=STYLES["error"]), "", "")
            reasons.append(Text(f"{check.title}: {check.error}", style=STYLES["error"]))
        for verdict in check.verdicts:
            style = STYLES[verdict.status]
            table.add_row(check.title, verdict.gate, Text(verdict.status, style=style), verdict.found, verdict.limit)
            if verdict.reason:
                reasons.append(Text(f"{check.title}, {verdict.gate}: {verdict.reason}", style=style))
    return Group(table, *reasons)


def document(checks: Sequence[Checked]) -> dict[str, Any]:
    """Returns the verdicts for ``--json``."""
    return {
        "schema": SCHEMA,
        "counts": count(checks),
        "checks": [
            {"name": check.title, "error": check.error or None, "gates": [vars(item) for item in check.verdicts]}
            for check in checks
        ],
    }


def count(checks: Sequence[Checked]) -> dict[str, int]:
    """Returns how many gates passed, failed and are undecided, and how many checks could not be run."""
    found = [verdict.status for check in checks for verdict in check.verdicts]
    counts = {status: found.count(status) for status in ("passed", "failed", "undecided")}
    return {**counts, "error": sum(1 for check in checks if check.error)}


def junit(checks: Sequence[Checked], name: str = "mvd check") -> str:
    """Returns JUnit XML: a suite per check, a case per gate; undecided is skipped, with its reason."""
    xml = JUnitXml(name)
    for check in checks:
        suite = TestSuite(_printable(check.title))
        if check.error:
            suite.add_testcase(_case("run", check.title, Error(_printable(check.error))))
        for verdict in check.verdicts:
            suite.add_testcase(_case(verdict.gate, check.title, _result(verdict)))
        xml.add_testsuite(suite)
    xml.update_statistics()  # type: ignore[no-untyped-call]
    text: bytes = xml.tostring()  # type: ignore[no-untyped-call]
    return text.decode("utf-8")


def markdown(checks: Sequence[Checked]) -> str:
    """Returns a table for a pull request, and the reasons below it."""
    numbers = ", ".join(f"{number} {status}" for status, number in count(checks).items() if number)
    lines = [f"### mvd check: {numbers}", "", "| check | gate | | found | limit |", "|---|---|---|---|---|"]
    reasons = []
    for check in checks:
        if check.error:
            lines.append(markdown_row(check.title, "", MARKS["error"], "", ""))
            reasons.append(f"- {escape(check.title)}: {escape(check.error)}")
        for item in check.verdicts:
            lines.append(markdown_row(check.title, item.gate, MARKS[item.status], item.found, item.limit))
            if item.reason:
                reasons.append(f"- {escape(check.title)}, {escape(item.gate)}: {escape(item.reason)}")
    return "\n".join([*lines, "", *reasons]).rstrip() + "\n"


def _case(gate: str, title: str, result: Error | Failure | Skipped | None) -> TestCase:
    case = TestCase(_printable(gate), classname=_printable(title))
    if result is not None:
        case.result = [result]
    return case


def _result(verdict: Verdict) -> Failure | Skipped | None:
    text = _printable(f"{verdict.found}; {verdict.limit}; {verdict.reason}")
    if verdict.status == "failed":
        return Failure(text)
    return Skipped(f"undecided: {text}") if verdict.status == "undecided" else None


def _printable(text: str) -> str:
    """Returns text without the control characters that XML has no form for."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
