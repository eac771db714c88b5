"""The results as Markdown."""

from collections.abc import Mapping
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
    head = ["model", "naive p50", *(ways[way]["title"] for way in columns[1:])]
    rows = [head, ["---"] * len(head)]
    for name, model in saved["models"].items():
        results = {item["way"]: item for item in model["results"]}
        naive = results[columns[0]]
        rows.append(
            [f"`{name}`", f"{naive['p50_ms']:.1f} ms", *(_cell(saved, results.get(way)) for way in columns[1:])]
        )
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


def _notes(saved: Saved) -> list[str]:
    machine = saved["machine"]
    lines = ["Every cell is the latency relative to the naive export's, with its 95 % interval; below 1 is faster.", ""]
    lines += [f"- {way['title']}: {way['about']}." for way in saved["ways"].values()]
    for name, model in saved["models"].items():
        for item in model["results"]:
            if item["failure"]:
                lines.append(f"- `{name}`, {saved['ways'][item['way']]['title']}: {item['failure']}")
            elif is_wrong(saved, item):
                title = saved["ways"][item["way"]]["title"]
                lines.append(
                    f"- `{name}`, {title}: differs from PyTorch by {item['max_rel']:.0e} of the largest output"
                )
            if item["ratio"] and (text := verdict(item["way"], name, item["ratio"])):
                lines.append(f"- `{name}`, {saved['ways'][item['way']]['title']}: {item['ratio']:.3f}, {text}.")
    versions = ", ".join(f"{key} {value}" for key, value in sorted(saved["versions"].items()) if value)
    return [*lines, "", f"{machine['cpu']}, batch 1, one thread and pinned unless a row says more. {versions}."]
