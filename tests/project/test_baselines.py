"""The benchmark of what people would otherwise do: what it measures anew, and its pages of made-up times."""

import importlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.baselines import results
from benchmarks.baselines.measure import OUTPUTS
from benchmarks.baselines.pages import PAGES, Case, Page, ways_by_case
from benchmarks.baselines.results import Result, Row
from benchmarks.baselines.table import markdown
from benchmarks.baselines.way import Way, all_ways
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import MvdError
from tests.project.pages import ROOT

WAYS = all_ways()
XS, M = Case("cas_vit_xs", "classify", 224, 1), Case("cas_vit_m", "classify", 224, 1)
MACHINE = {"cpu": "a processor", "cpu_features": ["AVX2", "AVX-512 VNNI"], "cores_logical": 2, "busy_percent": 1.5}
VERSIONS = {"python": "3.11.7", "onnxruntime": "1.31.1", "openvino": None}
PAGE = Page(title="Made up", ways=("naive", "mvd", "mvd_int8", "openvino"), beside=(("mvd", "openvino"),))


def times(ms: float, *, groups: int = 6, rounds: int = 6) -> tuple[tuple[float, ...], ...]:
    """Each group of processes is a little slower than the one before, all ways alike."""
    return tuple((round(ms * (1 + group / 1000), 4),) * rounds for group in range(groups))


def row(case: Case, seconds: float = 90, **milliseconds: float) -> Row:
    found = [Result(way, "", times(ms), 1e-6, 1000) for way, ms in milliseconds.items()]
    return Row(case, seconds, MACHINE, VERSIONS, {}, found)


def cells(text: str, start: str) -> list[list[str]]:
    """Returns the cells of every line of a table that starts so."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_pages_ask_for_what_there_is() -> None:
    assert {way for page in PAGES.values() for way in page.ways} == set(WAYS)
    for page in PAGES.values():
        assert {way for pair in page.beside for way in pair} <= set(page.ways)
    cases = ways_by_case(PAGES.values())
    for case in cases:
        catalog.input_rule(catalog.model(case.model), case.task).check(case.model, case.task, case.size, case.size)
        assert case.task == "classify" or case.task in OUTPUTS
    names = list(map(str, cases))
    assert len(set(names)) == len(names) == 12 + 4 + 3 * 12
    assert {"cas_vit_t", "cloformer_xxs, detect, 256 px", "lightvit_base, 448 px, 2 threads"} <= set(names)
    assert set(cases[XS]) == {*PAGES["baselines"].ways, *PAGES["baselines-litert"].ways}


@pytest.mark.parametrize(
    ("ways", "seconds", "holds"),
    [
        (["naive", "mvd"], 90, True),
        (["mvd"], 30, True),
        (["naive", "openvino"], 90, False),
        (["naive", "mvd"], 91, False),
    ],
)
def test_what_is_complete_is_not_measured_again(ways: list[str], seconds: float, holds: bool) -> None:
    assert row(XS, naive=10, mvd=8).holds([WAYS[way] for way in ways], seconds) is holds


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "out" / "rows.jsonl"
    assert results.read(path) == {}
    rows = {XS: row(XS, naive=10, mvd=8.25), M: row(M, naive=30)}
    rows[M].results.append(Result("mvd", "it says\u2028\n\x85 | no"))
    results.write(path, rows)
    assert results.read(path) == rows
    assert len(path.read_text(encoding="utf-8").split("\n")) == len(rows) + 1
    assert [item.name for item in path.parent.iterdir()] == [path.name]
    path.write_text('{"models": {}}\n')
    with pytest.raises(MvdError, match="holds no results") as error:
        results.read(path)
    assert "--out" in str(error.value.hint)


def test_rows_of_two_machines_are_no_file(tmp_path: Path) -> None:
    def check(machine: dict[str, object], versions: dict[str, str | None]) -> None:
        results.check_same_place(tmp_path, [row(XS, naive=10)], {**MACHINE, **machine}, {**VERSIONS, **versions})

    check({"busy_percent": 99.0}, {"openvino": "2026.4.1"})  # installed since
    check({}, {"onnxruntime": None})
    with pytest.raises(MvdError, match="cpu a processor there, another here"):
        check({"cpu": "another"}, {})
    with pytest.raises(MvdError, match="cpu_features"):
        check({"cpu_features": ["AVX2"]}, {})
    with pytest.raises(MvdError, match=r"onnxruntime 1\.31\.1 there, 1\.32\.0 here"):
        check({}, {"onnxruntime": "1.32.0"})


def test_the_page_has_ratios_times_and_pairs() -> None:
    rows = [row(XS, naive=10, mvd=8, mvd_int8=5, openvino=16), row(M, naive=30, mvd=27, mvd_int8=9, openvino=27)]
    text = markdown(PAGE, rows, WAYS, "made-up.svg")
    assert "![the same as a picture](made-up.svg)" in text
    head, _, pairs = cells(text, "model")
    assert head == ["model", "mvd", "mvd int8", "OpenVINO"]
    ratios, in_ms, beside = cells(text, "`cas_vit_xs`")
    assert ratios == ["`cas_vit_xs`", "0.80 (0.80 to 0.80)", "0.50 (0.50 to 0.50)", "1.60 (1.60 to 1.60)"]
    # The median of 10.00, 10.01, ..., 10.05 is 10.025; its interval ends at the first and the last, and 1.5 % are 0.15.
    assert in_ms[1] == "10.0 (9.9 to 10.2)"
    assert pairs == ["model", "mvd / OpenVINO"]
    assert beside == ["`cas_vit_xs`", "0.50 (0.50 to 0.50)"]
    means = cells(text, "geometric mean")
    assert means[0][1:] == ["0.85", "0.39", "1.20"], "roots of 0.8 * 0.9, 0.5 * 0.3, 1.6 * 0.9"
    assert means[1][1:] == ["0.71"], "root of 0.5 * 1"
    assert "a processor (AVX2, AVX-512 VNNI), batch 1" in text
    assert "onnxruntime 1.31.1" in text
    assert "openvino None" not in text
    assert "- `cas_vit_m`, mvd: 0.900, bound 0.85 MISSED." in text


def test_what_fails_or_is_wrong_is_told_and_in_no_mean() -> None:
    rows = [row(XS, naive=10, mvd=8, mvd_int8=5), row(M, naive=30, mvd_int8=9, openvino=27)]
    rows[0].results[2].max_rel = 0.3
    rows[1].results.append(Result("mvd", "the converter refused"))
    text = markdown(PAGE, rows, WAYS)
    ratios, in_ms, beside = cells(text, "`cas_vit_m`")
    assert ratios == ["`cas_vit_m`", "fails", "0.30 (0.30 to 0.30)", "0.90 (0.90 to 0.90)"]
    assert in_ms[2] == ""
    assert beside[1] == "fails"
    assert cells(text, "`cas_vit_xs`")[0][2:] == ["wrong output: 0.50 (0.50 to 0.50)", ""]
    assert cells(text, "geometric mean")[0][1:] == ["", "", ""]
    assert "- `cas_vit_m`, mvd: the converter refused" in text
    assert "- `cas_vit_xs`, mvd int8: differs from PyTorch by 3e-01 of the largest output" in text


def test_without_the_base_there_is_no_ratio() -> None:
    found = row(XS, mvd=8)
    found.results.insert(0, Result("naive", "the exporter refused"))
    assert cells(markdown(PAGE, [found], WAYS), "`cas_vit_xs`")[0][1] == ""


Command = Callable[..., int]


@pytest.fixture
def measured() -> list[tuple[str, list[str]]]:
    """The rows that were measured, and their ways."""
    return []


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: list[tuple[str, list[str]]]) -> Command:
    """The whole command, but for the measurements: every way takes 10 ms, and cas_vit_s cannot be measured."""
    program = importlib.import_module("benchmarks.baselines.__main__")

    def measure(case: Case, ways: Sequence[Way], seconds: float, versions: dict[str, str | None]) -> Row:
        measured.append((str(case), [way.name for way in ways]))
        if case.model == "cas_vit_s":
            raise MvdError("out of memory")
        return replace(
            row(case, seconds, **{way.name: 10.0 for way in ways}), machine=program.machine(), versions=versions
        )

    def run(*options: str) -> int:
        monkeypatch.setattr(sys, "argv", ["baselines", "--out", str(tmp_path / "out"), *options])
        return int(program.main())

    monkeypatch.setattr(program, "_in_a_process_of_its_own", measure)
    return run


def test_a_run_is_taken_up_where_it_stopped(
    command: Command, measured: list[tuple[str, list[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = ["--pages", "baselines", "--ways", "naive", "mvd", "--models", "cas_vit_xs", "cas_vit_s", "lightvit_*"]
    models = ["cas_vit_xs", "cas_vit_s", "lightvit_tiny", "lightvit_small", "lightvit_base"]
    assert command(*some) == 1
    assert measured == [(model, ["naive", "mvd"]) for model in models]
    assert "not measured: cas_vit_s." in capsys.readouterr().err

    measured.clear()
    assert command(*some) == 1
    assert measured == [("cas_vit_s", ["naive", "mvd"])]
    assert "cas_vit_xs: measured already" in capsys.readouterr().err

    measured.clear()
    assert command("--pages", "baselines", "--ways", "naive", "mvd", "--models", "cas_vit_xs", "--again") == 0
    assert measured == [("cas_vit_xs", ["naive", "mvd"])]
    page, lines = tmp_path / "out" / "baselines.md", tmp_path / "out" / "baselines.jsonl"
    assert [name for name, _ in cells(page.read_text(), "`")[:4]] == [
        f"`{name}`" for name in models if name != "cas_vit_s"
    ]
    assert "<svg" in (tmp_path / "out" / "baselines.svg").read_text()

    lines.write_text(lines.read_text().replace('"python":"', '"python":"2.'))
    capsys.readouterr()
    assert command(*some) == 1
    assert "measured elsewhere: python 2." in capsys.readouterr().err
    measured.clear()
    page.unlink()
    assert command("--only-pages") == 0
    assert measured == []
    assert "python 2." in page.read_text()


@pytest.mark.parametrize("path", ["README.md", "docs/measured/performance.md"])
def test_the_figures_in_words_are_those_of_the_last_run(path: str) -> None:
    text = (ROOT / "docs/measured/baselines.md").read_text()
    head = cells(text, "model")[0]
    rows = [line for line in cells(text, "`") if len(line) == len(head)][: len(catalog.models())]
    said = " ".join((ROOT / path).read_text().split())
    spans = []
    for title in ("mvd", "mvd int8"):
        ratios = [float(re.match(r"[\d.]+", line[head.index(title)])[0]) for line in rows]  # type: ignore[index]
        spans.append(f"{min(ratios):.2f} to {max(ratios):.2f}")
    assert re.search(rf"float32 files take {re.escape(spans[0])} of [^.]*, int8 {re.escape(spans[1])}\.", said)
