"""Reports on disk that anyone may have written: the page names them, runs nothing of them, and shows the others."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.loading.hostile_cases import PLACES
from tests.support.attacks import Place, digest, refused
from tests.support.forks import Forks

Edit = Callable[[dict[str, Any]], object]


def set_to(key: str, value: object) -> Edit:
    return lambda report: report.update({key: value})


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "brackets": b"[" * 10**6,
    "a list": b"[]",
    "not UTF-8": b"\xff\xfe{}",
    "8 MB": b'{"model": "' + b"a" * 2**23 + b'"}',
    "a million digits": b'{"bytes": ' + b"1" * 10**6 + b"}",
    "NaN": b'{"bytes": NaN}',
}
EDITS: dict[str, Edit] = {
    "no model": lambda report: report.pop("model"),
    "a model that is a number": set_to("model", 3),
    "a name of a megabyte": set_to("model", "a" * 10**6),
    "another file": set_to("path", "../../../etc/passwd"),
    "a null byte in the path": set_to("path", "a\0b"),
    "a hash of another length": set_to("sha256", "0"),
    "negative bytes": set_to("bytes", -1),
    "a million rewrites": set_to("rewrites", [{"name": "a"}] * 10**5),
    "an infinite shape": set_to("input", {"name": "x", "shape": [1e400]}),
    "a status that does not exist": set_to("parity", {"status": "<script>"}),
}
SCRIPT = "</td><script>alert(1)</script><img src=x onerror=alert(1)>"
SHOWN: dict[str, Edit] = {
    "a script as model": set_to("model", SCRIPT),
    "a script as warning": set_to("warnings", [SCRIPT]),
    "a script as task": set_to("task", SCRIPT),
    "a script as operation": set_to("ops", {SCRIPT: 3}),
    "control characters": set_to("model", "\x1b[2J\x1b]0;owned\x07"),
}


def folder_with(place: Place, exported: Path, edit: Callable[[Path], object]) -> Path:
    folder = place.given / "artifacts"
    shutil.copytree(exported, folder)
    (report,) = folder.glob("*.onnx.json")
    edit(report)
    return folder


def page_of(forks: Forks, place: Place, folder: Path, log: Path) -> tuple[str, str]:
    """Returns the page and what was said, when nothing but the page was written."""
    before = set(place.root.rglob("*"))
    log.mkdir()
    done = forks.run(["report", folder, "--out", place.here / "page.html"], place.here, log, 10)
    assert done.code == 0, done.errors
    assert set(place.root.rglob("*")) - before == {place.here / "page.html"}
    assert [act for act in done.acts if act.startswith("executed")] == []
    assert done.peak_bytes < 2 * 2**30
    assert "\x1b[2J" not in done.errors + done.output
    return (place.here / "page.html").read_text(), done.errors


@pytest.mark.parametrize("case", [*BROKEN, *EDITS])
def test_a_broken_report_is_named(forks: Forks, place: Place, exported: Path, tmp_path: Path, case: str) -> None:
    def spoil(report: Path) -> None:
        if case in BROKEN:
            report.write_bytes(BROKEN[case])
        else:
            content = json.loads(report.read_text())
            EDITS[case](content)
            report.write_text(json.dumps(content))

    page, errors = page_of(forks, place, folder_with(place, exported, spoil), tmp_path / "log")
    assert ".onnx.json: " in errors
    assert "<script" not in page


@pytest.mark.parametrize("case", SHOWN)
def test_what_a_report_says_is_text(forks: Forks, place: Place, exported: Path, tmp_path: Path, case: str) -> None:
    def spoil(report: Path) -> None:
        content = json.loads(report.read_text())
        SHOWN[case](content)
        report.write_text(json.dumps(content))

    page, _ = page_of(forks, place, folder_with(place, exported, spoil), tmp_path / "log")
    assert "<script>alert" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize("case", PLACES)
def test_a_report_that_is_no_file(forks: Forks, place: Place, exported: Path, tmp_path: Path, case: str) -> None:
    def spoil(report: Path) -> None:
        report.unlink()
        PLACES[case](report)

    page_of(forks, place, folder_with(place, exported, spoil), tmp_path / "log")


@pytest.mark.parametrize("case", [*PLACES, "an empty folder"])
def test_no_folder(forks: Forks, place: Place, case: str, record_property: Callable[[str, object], None]) -> None:
    """Without any report there is no page."""
    if case == "an empty folder":
        (place.given / "artifacts").mkdir()
    else:
        PLACES[case](place.given / "artifacts")
    refused(forks, place, ("report", place.given / "artifacts"))
    record_property("hostile", digest(place))
