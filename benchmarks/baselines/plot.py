"""The results as a picture: one line a model, one mark a way."""

from pathlib import Path

from benchmarks.baselines.results import Saved, is_wrong

MARKS = "osD^vPX*<>hd"
BEYOND = 2.0  # what is slower than this is drawn at the edge


def draw(saved: Saved, path: Path) -> None:
    """Writes an SVG file."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    names, ways = list(saved["models"]), list(saved["ways"])
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.42 * len(names)), layout="constrained")
    for number, way in enumerate(ways[1:]):
        places, ratios, errors = [], [], ([], [])
        for row, name in enumerate(names):
            for item in saved["models"][name]["results"]:
                if item["way"] == way and item["ratio"] and not is_wrong(saved, item):
                    ratio = min(item["ratio"], BEYOND)
                    places.append(row), ratios.append(ratio)
                    for side, end in zip(errors, item["ci95"], strict=True):
                        side.append(abs(min(end, BEYOND) - ratio))
        ours = way.startswith("mvd")
        axes.errorbar(
            ratios,
            places,
            xerr=errors,
            fmt=MARKS[number % len(MARKS)],
            markersize=9 if ours else 5,
            label=saved["ways"][way]["title"],
            color="tab:red" if way == "mvd" else None,
            zorder=3 if ours else 2,
        )
    axes.axvline(1, color="grey", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"latency relative to the naive export, smaller is faster (at the edge: {BEYOND:g} or more)")
    axes.set_xlim(right=BEYOND * 1.03)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=5, fontsize="small", frameon=False)
    figure.savefig(path)
    pyplot.close(figure)
