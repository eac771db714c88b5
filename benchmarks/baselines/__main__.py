"""Times mvd's exports and what people would otherwise do, on ONNX Runtime and other runtimes, on this machine.

Run: ``python -m benchmarks.baselines --out DIR``, which times every row of ``pages.toml`` and writes its pages. Each
row goes to ``DIR/baselines.jsonl`` when it is done, and the same command takes up a run that was stopped. ``--pages
baselines-heads``, ``--models 'cas_vit_*'`` and ``--ways naive mvd`` ask for less. What is not installed is left out:
``pip install '.[executorch,litert]' onnxslim openvino nncf ncnn pnnx MNN`` brings all of it.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from benchmarks.baselines import plot, results, table
from benchmarks.baselines.measure import measure_row
from benchmarks.baselines.pages import PAGES, Case, matches, ways_by_case
from benchmarks.baselines.results import Row
from benchmarks.baselines.way import Way, all_ways
from mobilevit_deploy.catalog.formats import tool_versions
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.system.environment import installed_version
from mobilevit_deploy.system.hardware import machine
from mobilevit_deploy.system.publish import publish_text

RESULTS = "baselines.jsonl"


def main() -> int:
    """Returns the exit code: 1 where a row could not be measured."""
    ways = all_ways()
    arguments = _parse(ways)
    path = arguments.out / RESULTS
    try:
        rows = results.read(path)
        missing = [] if arguments.only_pages else _measure(path, rows, ways, arguments)
        for name in arguments.pages:
            _write_page(arguments.out, name, rows, ways)
    except MvdError as error:
        print(f"{error.message}\n{error.hint or ''}".strip(), file=sys.stderr)
        return error.exit_code
    if missing:
        print(f"not measured: {'; '.join(missing)}. The same command tries these again.", file=sys.stderr)
    return 1 if missing else 0


def _parse(ways: Mapping[str, Way]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("artifacts/baselines"), help="folder of results and pages")
    parser.add_argument("--pages", nargs="+", choices=list(PAGES), default=list(PAGES))
    parser.add_argument("--models", nargs="+", default=["*"], help="names, or patterns such as 'cas_vit_*'")
    parser.add_argument("--ways", nargs="+", choices=list(ways), default=list(ways))
    parser.add_argument("--seconds", type=float, default=90, help="of timing, for each row")
    parser.add_argument("--again", action="store_true", help="measure what was measured already")
    parser.add_argument("--only-pages", action="store_true", help="write the pages anew, and measure nothing")
    return parser.parse_args()


def _measure(path: Path, rows: dict[Case, Row], ways: Mapping[str, Way], arguments: argparse.Namespace) -> list[str]:
    """Measures what is not there yet, adds it to the rows, and returns what could not be measured.

    Raises:
        MvdError: the rows are of another machine or of other versions, or cannot be written.
    """
    packages = {package for way in ways.values() for package in way.needs}
    versions = {**tool_versions(), **{package: installed_version(package) for package in packages}}
    results.check_same_place(path, rows.values(), machine(), versions)
    for way in (ways[name] for name in arguments.ways):
        if not way.installed:
            print(f"{way.title} is left out: pip install {' '.join(way.needs)}", file=sys.stderr)
    missing = []
    for case, names in ways_by_case(PAGES[name] for name in arguments.pages).items():
        asked = [ways[name] for name in names if name in arguments.ways and ways[name].installed]
        known = rows.get(case)
        if not asked or not matches(case.model, arguments.models):
            continue
        if known and known.holds(asked, arguments.seconds) and not arguments.again:
            print(f"{case}: measured already", file=sys.stderr)
            continue
        try:
            rows[case] = _in_a_process_of_its_own(case, asked, arguments.seconds, versions)
        except (MvdError, BrokenProcessPool) as error:
            print(f"{case}: {error}", file=sys.stderr)
            missing.append(str(case))
            continue
        results.write(path, rows)
        _show(rows[case], ways)
    return missing


def _in_a_process_of_its_own(
    case: Case, ways: Sequence[Way], seconds: float, versions: Mapping[str, str | None]
) -> Row:
    """Measures; what converters leave in memory goes with the process, and one that crashes costs its row alone."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure_row, case, ways, seconds, versions).result()


def _show(row: Row, ways: Mapping[str, Way]) -> None:
    """Prints one row's results, relative to its first way."""
    for result in row.results:
        ratio = row.ratio(result.way, row.results[0].way)
        found = result.failure
        if result.times_ms:
            found = f"{result.statistics().p50_ms:7.2f} ms, differs by {result.max_rel:.0e}"
        if ratio:
            low, high = ratio.ci95
            found += f", {ratio.value:.3f} ({low:.3f} to {high:.3f}) {table.verdict(row, result.way)}"
        print(f"{row.case}  {ways[result.way].title:20} {found}", flush=True)


def _write_page(folder: Path, name: str, rows: Mapping[Case, Row], ways: Mapping[str, Way]) -> None:
    """Writes a page, and its picture, of the rows that there are and that have what the others are compared with."""
    page = PAGES[name]
    shown = [rows[case] for case in page.cases() if case in rows and rows[case].of(page.ways[0])]
    if not shown:
        return
    if page.plot:
        publish_text(plot.svg(page, shown, ways), folder / f"{name}.svg")
    picture = f"{name}.svg" if page.plot else None
    publish_text(table.markdown(page, shown, ways, picture), folder / f"{name}.md")


if __name__ == "__main__":
    sys.exit(main())
