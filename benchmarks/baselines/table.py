"""The results as Markdown."""

from collections.abc import Iterator, Mapping
from statistics import geometric_mean
from typing import Any

from benchmarks.baselines.results import Saved, is_wrong, verdict

PLACES = 2
TITLE = [
    "# mvd's exports and what people would otherwise do",
    "",
    "Made by `python -m benchmarks.baselines`, which builds every way, compares it with PyTorch, and times all of them "
    "in turns, one process each. A loss is shown as a loss.",
    "",
]


def markdown(saved: Saved, picture: str | None = None) -> str:
    """Returns the page, with a picture where there is one."""
    ways = saved["ways"]
    columns = list(ways)
    head = ["model", f"{ways[columns[0]]['title']} p50", *(ways[way]["title"] for way in columns[1:])]
    rows = [head, ["---"] * len(head)]
    for name, model in saved["models"].items():
        results = {item["way"]: item for item in model["results"]}
        first = results[columns[0]]
        rows.append(
            [f"`{name}`", f"{first['p50_ms']:.1f} ms", *(_cell(saved, results.get(way)) for way in columns[1:])]
        )
    rows.append(["geometric mean", "", *(_mean(saved, way) for way in columns[1:])])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    pictures = [f"![the same as a picture]({picture})", ""] if picture else []
    return "\n".join([*TITLE, *pictures, *lines, "", *_notes(saved)]) + "\n"


def _cell(saved: Saved, result: Mapping[str, Any] | None) -> str:
    if result is None:
        return ""
    if result["failure"]:
        return "fails"
    ratio, (low, high) = result["ratio"], result["ci95"]
    text = f"{ratio:.{PLACES}f} ({low:.{PLACES}f} to {high:.{PLACES}f})"
    return f"wrong output: {text}" if is_wrong(saved, result) else text


def _ratios(saved: Saved, way: str) -> dict[str, float]:
    """Returns a way's latency relative to the first one's, of the models that it has a right file of."""
    items = ((name, item) for name, model in saved["models"].items() for item in model["results"])
    return {
        name: item["ratio"]
        for name, item in items
        if item["way"] == way and not item["failure"] and not is_wrong(saved, item)
    }


def _mean(saved: Saved, way: str) -> str:
    """Returns the geometric mean over all models; empty where one is missing, for it is of other models then."""
    ratios = _ratios(saved, way)
    return f"{geometric_mean(ratios.values()):.{PLACES}f}" if len(ratios) == len(saved["models"]) else ""


def _of_their_own(saved: Saved) -> Iterator[str]:
    """Yields a line for each way in int8, beside the same one in float32."""
    ways = saved["ways"]
    for way in ways:
        own = way.removesuffix("_int8")
        if own == way or own not in ways:
            continue
        after, before = _ratios(saved, way), _ratios(saved, own)
        figures = [f"`{name}` {ratio / before[name]:.{PLACES}f}" for name, ratio in after.items() if name in before]
        yield f"- {ways[way]['title']} relative to {ways[own]['title']}: {', '.join(figures)}."


def _notes(saved: Saved) -> list[str]:
    machine = saved["machine"]
    first, title = next((name, way["title"]) for name, way in saved["ways"].items())
    lines = [f"Every cell is the latency relative to {title}'s, with its 95 % interval; below 1 is faster.", ""]
    lines += [f"- {way['title']}: {way['about']}." for way in saved["ways"].values()]
    lines += _of_their_own(saved)
    for name, model in saved["models"].items():
        for item in model["results"]:
            if item["failure"]:
                lines.append(f"- `{name}`, {saved['ways'][item['way']]['title']}: {item['failure']}")
            elif is_wrong(saved, item):
                title = saved["ways"][item["way"]]["title"]
                lines.append(
                    f"- `{name}`, {title}: differs from PyTorch by {item['max_rel']:.0e} of the largest output"
                )
            if item["ratio"] and (text := verdict(item["way"], name, item["ratio"], first)):
                lines.append(f"- `{name}`, {saved['ways'][item['way']]['title']}: {item['ratio']:.3f}, {text}.")
    versions = ", ".join(f"{key} {value}" for key, value in sorted(saved["versions"].items()) if value)
    return [*lines, "", f"{machine['cpu']}, batch 1, one thread and pinned unless a row says more. {versions}."]
