"""Findings as SARIF 2.1.0 (OASIS), which GitHub, GitLab and editors show beside the lines that they are of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mobilevit_deploy.system.version import __version__

if TYPE_CHECKING:
    from mobilevit_deploy.inspection import Inspection

VERSION = "2.1.0"
FORM = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif_document(inspections: Iterable[Inspection], root: Path) -> dict[str, Any]:
    """Returns the findings on lines of code below a folder, each once; those of other code have no line to stand at.

    Args:
        inspections: of models.
        root: of the repository, which the files' names are relative to.
    """
    results: dict[tuple[str, ...], dict[str, Any]] = {}
    rules: dict[str, dict[str, Any]] = {}
    for inspection in inspections:
        for finding in inspection.findings:
            path, _, line = finding.line.rpartition(":")
            if not path or not Path(path).resolve().is_relative_to(root.resolve()):
                continue
            name = Path(path).resolve().relative_to(root.resolve()).as_posix()
            rules.setdefault(finding.rule, {"id": finding.rule, "shortDescription": {"text": finding.source}})
            text = f"{inspection.target}: {finding.op} at {finding.at}: {finding.detail}"
            key = (finding.rule, inspection.target, name, line, finding.detail)
            results.setdefault(key, _result(finding.rule, text, name, line))
    driver = {"name": "mvd", "version": __version__, "rules": list(rules.values())}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": list(results.values()),
    }
    return {"$schema": FORM, "version": VERSION, "runs": [run]}


def _result(rule: str, text: str, name: str, line: str) -> dict[str, Any]:
    place = {"artifactLocation": {"uri": quote(name), "uriBaseId": "%SRCROOT%"}, "region": {"startLine": int(line)}}
    return {
        "ruleId": rule,
        "level": "warning",
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
    }
