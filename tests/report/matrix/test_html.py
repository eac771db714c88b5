"""The page of a sweep without a browser: what is on it, that no record can write HTML into it, and its documents."""

import base64
import hashlib
import html
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import Result

from mobilevit_deploy.report.matrix.changes import compare
from mobilevit_deploy.report.matrix.document import MOST_LINES, matrix_summary
from mobilevit_deploy.report.matrix.html import render
from mobilevit_deploy.report.matrix.read import read_matrix
from mobilevit_deploy.report.matrix.record import Cell, CellAccuracy, CellLatency, Gate, Sweep
from tests.report.matrix.sample import made_up, write
from tests.report.sample import Page
from tests.support.schemas import check as check_document

Mvd = Callable[..., Result]
HOSTILE = "</td></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 77777 * 1001 }}"
LARGEST_PAGE = 3 * 2**20

_NAMES = {"model": HOSTILE, "checkpoint": HOSTILE, "target": HOSTILE, "precision": HOSTILE, "worker": HOSTILE}
HOSTILE_SWEEP = Sweep(
    name=HOSTILE,
    made=HOSTILE,
    version={HOSTILE: HOSTILE},
    cells=[
        Cell(
            **_NAMES,
            id="1",
            status="done",
            device=HOSTILE,
            size=HOSTILE,
            bytes=3,
            gates=(Gate(gate=HOSTILE, status="failed", found=HOSTILE, limit=HOSTILE, reason=HOSTILE),),
            accuracy=CellAccuracy(metric=HOSTILE, artifact=0.5, pytorch=0.6, images=3),
            latency=CellLatency(p50=1, low=0.5, high=2, device=HOSTILE),
        ),
        Cell(**_NAMES, id="2", status="failed", reason=HOSTILE, hint=HOSTILE, log=HOSTILE, page="javascript:alert(3)"),
        Cell(**_NAMES, id="3", status="waiting", device="another"),
    ],
)
HOSTILE_BEFORE = Sweep(name=HOSTILE, made=HOSTILE, cells=[Cell(**_NAMES, id="gone", status="done")])


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("\N{NO-BREAK SPACE}", " ")


def page_of(folder: Path, baseline: Sweep | None = None) -> str:
    matrix = read_matrix(folder)
    return render(matrix, compare(baseline, matrix.sweep) if baseline else None, folder / "matrix.html")


def table_of(text: str, name: str) -> list[list[str]]:
    """Returns the texts of a table of the page, row by row."""
    (table,) = re.findall(rf'<table id="{name}".*?</table>', text, re.S)
    rows = re.findall(r"<tr.*?</tr>", table, re.S)
    return [[words(Page(cell).text).strip() for cell in re.findall(r"<t[hd]\b.*?</t[hd]>", row, re.S)] for row in rows]


BEFORE, NOW = made_up(55, seed=1), made_up(44, seed=2)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a sweep of four models, beside an earlier one of five."""
    return page_of(write(NOW, tmp_path_factory.mktemp("sweep")), BEFORE)


def test_both_views_have_every_cell(text: str) -> None:
    sweep = NOW
    header, *rows = table_of(text, "list")
    assert header[:4] == ["model", "target", "precision", "status"]
    assert [(row[0], row[1], row[2]) for row in rows] == [(c.model, c.target, c.precision) for c in sweep.cells]
    first = dict(zip(header, rows[0], strict=True))
    cell = sweep.cells[0]
    assert cell.latency
    assert cell.accuracy
    assert first["p50 ms"] == f"{cell.latency.p50:.2f}"
    assert first["accuracy"] == f"{cell.accuracy.artifact:.1%}".replace("%", " %")
    assert first["gates"] == "2 of 2 passed"
    assert first["files"] == "page report log artifact"
    targets, precisions, *models = table_of(text, "matrix")
    assert targets == ["model", "onnx", "coreml", "litert", "executorch"]
    assert precisions == ["fp32", "fp16", "int8", "fp32", "fp16", "w8", "fp32", "fp16", "int8", "fp32", "int8"]
    assert [len(row) for row in models] == [12] * 4
    assert f"{cell.latency.p50:.2f} ms" in models[0][1]
    shared = "Of all cells: checkpoint epoch-100.pth; input 224x224; accuracy of top-1, 5000 images; attempts 1."
    assert shared in words(Page(text).text)


def test_links_are_relative_to_where_the_page_is(tmp_path: Path) -> None:
    folder = write(made_up(2), tmp_path / "a sweep")
    cell = made_up(2).cells[0]
    for page, start in ((folder / "matrix.html", "./"), (tmp_path / "public" / "index.html", "../a%20sweep/")):
        text = render(read_matrix(folder), None, page)
        found = [found["href"] for found in Page(text).of("a")]
        assert f"{start}{cell.page}" in found
        assert all(address.startswith(start) for address in found)


def test_what_a_record_says_is_text(tmp_path: Path) -> None:
    text = page_of(write(HOSTILE_SWEEP, tmp_path, files=False), HOSTILE_BEFORE)
    page = Page(text)
    script = next(attributes for tag, attributes in page.elements if tag == "script")
    assert script == {}
    assert page.loads() == ["<script>"], "its own alone"
    assert "<script>alert" not in text
    assert page.text.count(HOSTILE) >= 15, "shown as text in every place"
    assert str(77777 * 1001) not in text, "no record's text is a template"
    assert page.of("a") == []


def test_the_policy_lets_its_own_script_run_and_nothing_else(tmp_path: Path) -> None:
    text = page_of(write(made_up(3), tmp_path))
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [meta for meta in Page(text).of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy["content"] == (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'"
    )
    assert not re.search(r"https?:|innerHTML|eval\(|fetch\(|XMLHttp|import\(|document\.write", text)


def test_what_changed_is_in_every_view(text: str, tmp_path: Path) -> None:
    changes = compare(BEFORE, NOW)
    assert len(changes.gone) == 11
    assert changes.by_cell
    _, *rows = table_of(text, "changes")
    assert len(rows) == sum(map(len, changes.by_cell.values())) + 11
    assert sum(row[1] == "gone" for row in rows) == 11
    header, *cells = table_of(text, "list")
    assert [bool(row[header.index("change")]) for row in cells] == [cell.id in changes.by_cell for cell in NOW.cells]
    changed = [row for row in Page(text).of("tr") if "data-changed" in row]
    assert len(changed) == len(changes.by_cell)
    assert "Nothing changed." in Page(page_of(write(made_up(1), tmp_path), made_up(1))).text


def test_every_id_is_one_elements_and_every_reference_has_one(text: str) -> None:
    page = Page(text)
    assert len(page.of("svg")) == 4
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = re.findall(r'(?:aria-labelledby|for|href|url)(?:="|\()#?([\w-]+)(?:"|\))', text)
    assert {"title-list", "q"} < set(wanted) <= set(ids)
    assert all(cell.get("scope") in ("col", "row", "colgroup") for cell in page.of("th"))


def test_a_thousand_cells_are_one_page_soon(tmp_path: Path) -> None:
    now, before = made_up(1000, seed=1), made_up(1000)
    folder = write(now, tmp_path, files=False)
    page_of(write(made_up(2), tmp_path / "imports"), before)
    start = time.process_time()
    text = page_of(folder, before)
    assert time.process_time() - start < 60, "one that is not linear in the cells takes minutes"
    assert len(text.encode()) < LARGEST_PAGE
    assert len(table_of(text, "list")) == 1001


def test_a_sweep_without_cells_has_a_page(mvd: Mvd) -> None:
    write(Sweep(name="none", cells=[]), Path("sweep"))
    done = mvd("report", "--matrix", "sweep")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.endswith("wrote sweep/matrix.html: cells 0\n")


def test_the_document_says_what_the_page_says(mvd: Mvd) -> None:
    write(BEFORE, Path("before"), files=False)
    write(NOW, Path("sweep"))
    done = mvd("report", "--matrix", "sweep", "--baseline", "before", "--out", "page.html", "--json")
    assert done.exit_code == 0, done.stderr
    document = check_document("report", done.stdout)
    assert document["artifacts"] == document["plots"] == []
    found = document["matrix"]
    assert found["baseline"] == {"name": "nightly", "made": "2026-11-21 03:12 UTC"}
    assert sum(found["counts"].values()) == len(found["cells"]) == 44
    assert found["cells"][0]["cell"] == json.loads(NOW.cells[0].model_dump_json())
    assert found["cells"][0]["links"]["page"] == f"sweep/{NOW.cells[0].page}"
    assert len(found["gone"]) == 11
    assert all(front["best"] for front in found["fronts"])
    text = html.unescape(Path("page.html").read_text())
    changes = [change["text"] for cell in found["cells"] for change in cell["changes"]]
    assert changes
    assert all(change in text for change in changes)


def test_what_the_terminal_says(mvd: Mvd) -> None:
    write(BEFORE, Path("before"), files=False)
    write(NOW, Path("sweep"))
    done = mvd("report", "--matrix", "sweep", "--baseline", "before")
    assert done.exit_code == 0, done.stderr
    assert re.search(r"^onnx +fp32 +4 +0 +0$", done.stdout, re.MULTILINE)
    changes = compare(BEFORE, NOW)
    assert done.stdout.count("gone\n") == 11
    assert all(text in done.stdout for found in changes.by_cell.values() for text in (change.text for change in found))
    assert done.stdout.endswith("wrote sweep/matrix.html: cells 44\n")


def test_a_terminal_is_not_flooded(tmp_path: Path) -> None:
    before, now = made_up(143, seed=1), made_up(132, seed=2)
    matrix, changes = read_matrix(write(now, tmp_path, files=False)), compare(before, now)
    console = Console(width=160)
    with console.capture() as captured:
        console.print(*matrix_summary(matrix, changes))
    assert f"and {len(changes.by_cell) + 11 - MOST_LINES} more on the page" in captured.get()
    assert len(captured.get().splitlines()) < 60


def test_a_hostile_name_moves_no_cursor(mvd: Mvd) -> None:
    name = "\x1b[2J\x1b]0;owned\x07"
    cell = Cell(id=name, model=name, target=name, precision=name, status="failed", reason=name, log="none")
    write(Sweep(name=name, cells=[cell]), Path("sweep"), files=False)
    write(Sweep(name=name, cells=[]), Path("before"), files=False)
    done = mvd("report", "--matrix", "sweep", "--baseline", "before")
    assert done.exit_code == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("bad", ["p50", "accuracy"])
def test_figures_out_of_their_range_are_drawn(bad: str, tmp_path: Path) -> None:
    """A record may say anything that is a number."""
    latency = CellLatency(p50=1e-6 if bad == "p50" else 1e9, low=1e9, high=1e-6, device="d")
    accuracy = CellAccuracy(artifact=-1e12 if bad == "accuracy" else 1e12, pytorch=0, images=0)
    shared = {"model": "m", "target": "t", "precision": "p", "status": "done", "bytes": 2**53}
    cells = [
        Cell(**shared, id="1", latency=latency, accuracy=accuracy),
        Cell(**shared, id="2", latency=CellLatency(p50=1, device="d"), accuracy=accuracy),
    ]
    assert "<svg" in page_of(write(Sweep(name="n", cells=cells), tmp_path))
