"""A page of the results as a picture: one line a row, one mark a way."""

import io
from collections.abc import Mapping, Sequence

from benchmarks.baselines.pages import Page
from benchmarks.baselines.results import Row
from benchmarks.baselines.table import right_ratio, shown_ways
from benchmarks.baselines.way import Way

MARKS = "osD^vPX*<>hdpH"
BEYOND = 2.0  # what is slower than this is drawn at the edge


def svg(page: Page, rows: Sequence[Row], ways: Mapping[str, Way]) -> str:
    """Returns the ratios of a page, whose first way is what the others are compared with."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    base, *others = shown_ways(page, rows)
    figure, axes = pyplot.subplots(figsize=(8, 1.5 + 0.42 * len(rows)), layout="constrained")
    for number, way in enumerate(others):
        places, ratios = [], []
        errors: tuple[list[float], list[float]] = ([], [])
        for place, row in enumerate(rows):
            found = row.ratio(way, base)
            if found is None or right_ratio(row, ways, way, base) is None:
                continue
            ratio = min(found.value, BEYOND)
            places.append(place)
            ratios.append(ratio)
            for side, end in zip(errors, found.ci95, strict=True):
                side.append(abs(min(end, BEYOND) - ratio))
        ours = way.startswith("mvd")
        axes.errorbar(
            ratios,
            places,
            xerr=errors,
            fmt=MARKS[number % len(MARKS)],
            markersize=9 if ours else 5,
            label=ways[way].title,
            color="tab:red" if way == "mvd" else None,
            zorder=3 if ours else 2,
        )
    axes.axvline(1, color="grey", linewidth=1)
    axes.set_yticks(range(len(rows)), [str(row.case) for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"latency relative to {ways[base].title}, smaller is faster (at the edge: {BEYOND:g} or more)")
    axes.set_xlim(right=BEYOND * 1.03)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=5, fontsize="small", frameon=False)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return text.getvalue()
