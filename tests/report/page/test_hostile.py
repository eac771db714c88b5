"""Reports on disk that anyone may have written: the page names them, runs nothing of them, and shows the others."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.loading.hostile_cases import PLACES
from tests.support.attacks import LARGEST_BYTES, Attack, Place, check_all, look, prepared
from tests.support.forks import Done, Forks
from tests.support.hostile import Attacks

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


def pages_of(
    forks: Forks, folder: Path, exported: Path, cases: Iterable[str], spoil: Callable[[Path, str], object]
) -> dict[str, tuple[str, str]]:
    """Returns the page of each case and what was said, when nothing but the page was written."""

    def make(place: Place, case: str) -> tuple[object, ...]:
        given = folder_with(place, exported, lambda report: spoil(report, case))
        return ("report", given, "--out", place.here / "page.html")

    made = [prepared(Path(tempfile.mkdtemp(dir=folder)), case, make) for case in cases]
    found = forks.run_all([item.command for item in made], folder, 10.0, LARGEST_BYTES)
    check_all(wrote_a_page, made, found)
    return {
        item.case: ((item.place.here / "page.html").read_text(), done.errors)
        for item, done in zip(made, found, strict=True)
    }


def wrote_a_page(item: Attack, done: Done) -> None:
    assert done.code == 0, done.errors
    after = look(item.place.root)
    assert after.keys() - item.before.keys() == {"here/page.html"}
    assert {path: kind for path, kind in after.items() if path != "here/page.html"} == item.before
    assert [act for act in done.acts if act.startswith("executed")] == []
    assert done.peak_bytes < LARGEST_BYTES
    assert "\x1b[2J" not in done.errors + done.output


def test_a_broken_report_is_named(forks: Forks, exported: Path, tmp_path: Path) -> None:
    def spoil(report: Path, case: str) -> None:
        if case in BROKEN:
            report.write_bytes(BROKEN[case])
        else:
            content = json.loads(report.read_text())
            EDITS[case](content)
            report.write_text(json.dumps(content))

    for case, (page, errors) in pages_of(forks, tmp_path, exported, [*BROKEN, *EDITS], spoil).items():
        assert ".onnx.json: " in errors, case
        assert "<script" not in page, case


def test_what_a_report_says_is_text(forks: Forks, exported: Path, tmp_path: Path) -> None:
    def spoil(report: Path, case: str) -> None:
        content = json.loads(report.read_text())
        SHOWN[case](content)
        report.write_text(json.dumps(content))

    for case, (page, _) in pages_of(forks, tmp_path, exported, SHOWN, spoil).items():
        assert "<script>alert" not in page, case
        assert "<img src=x" not in page, case


def test_a_report_that_is_no_file(forks: Forks, exported: Path, tmp_path: Path) -> None:
    def spoil(report: Path, case: str) -> None:
        report.unlink()
        PLACES[case](report)

    pages_of(forks, tmp_path, exported, PLACES, spoil)


def test_no_folder(refuse: Attacks) -> None:
    """Without any report there is no page."""

    def make(place: Place, case: str) -> tuple[object, ...]:
        {**PLACES, "an empty folder": Path.mkdir}[case](place.given / "artifacts")
        return ("report", place.given / "artifacts")

    refuse([*PLACES, "an empty folder"], make)
