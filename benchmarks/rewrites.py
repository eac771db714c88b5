"""What a rewrite is worth on ONNX Runtime: a model's export with it and without it, and the naive export, in turn.

Each file runs in fresh processes that alternate. The time of one thread is CPU time, which other programs disturb less;
that of several is wall time. Ratios are to the export as the recipe makes it: above 1, the rewrite pays. Naive is the
graph as captured, opset 18, with onnxsim.
Run: ``python benchmarks/rewrites.py MODEL [--without NAME,NAME ...] [--input-size N] [--threads N] [--rounds N]``; with
``--each`` every rewrite that applies is left out alone.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

TIMED = """
import sys, time
import numpy, onnxruntime
threads, seconds = int(sys.argv[2]), float(sys.argv[3])
clock = time.process_time if threads == 1 else time.perf_counter
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
item = session.get_inputs()[0]
feed = {item.name: numpy.random.default_rng(0).standard_normal(item.shape).astype(numpy.float32)}
for _ in range(8):
    session.run(None, feed)
times = []
end = time.perf_counter() + seconds
while time.perf_counter() < end:
    begin = clock()
    session.run(None, feed)
    times.append((clock() - begin) * 1e3)
print(numpy.median(times))
"""
RECIPE = Path(__file__).parents[1] / "export_recipes" / "onnx.toml"
NAIVE, FULL = "naive", "recipe"

progress = Console(stderr=True)


def export(model: str, folder: Path, *options: str) -> dict[str, Any]:
    """Exports a model in a process of its own and returns its report."""
    command = [
        sys.executable,
        "-m",
        "mobilevit_deploy",
        "export",
        model,
        "--to",
        "onnx",
        "--out",
        str(folder),
        "--json",
    ]
    done = subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    (report,) = json.loads(done.stdout)["artifacts"]
    return dict(report)


def recipe_without(names: Sequence[str], folder: Path) -> Path:
    """Writes the recipe without some rewrites."""
    text = (RECIPE).read_text()
    for name in names:
        text, count = re.subn(rf'\[\[rewrites\]\]\nname = "{name}"\nreason = [^\n]*\n', "", text)
        if not count:
            raise typer.BadParameter(f"{RECIPE.name} has no rewrite {name}")
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def milliseconds(path: Path, threads: int, seconds: float, core: int) -> float:
    """Returns the median of one fresh process, pinned to as many cores as it has threads."""
    pin = (lambda: os.sched_setaffinity(0, range(core, core + threads))) if hasattr(os, "sched_setaffinity") else None
    command = [sys.executable, "-c", TIMED, str(path), str(threads), str(seconds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, preexec_fn=pin)
    return float(done.stdout)


def main(
    model: str,
    without: Annotated[list[str] | None, typer.Option()] = None,
    each: bool = False,
    input_size: int = 224,
    threads: int = 1,
    rounds: int = 7,
    seconds: float = 3.0,
    core: int = 0,
) -> None:
    """Exports, alternates, and prints a table."""
    size = ("--input-size", str(input_size))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reports = {FULL: export(model, folder / FULL, *size)}
        groups = [item.split(",") for item in without or ()]
        if each:
            groups += [[item["name"]] for item in reports[FULL]["rewrites"] if item["applied"]]
        reports[NAIVE] = export(model, folder / NAIVE, *size, "--no-rewrite", "--opset", "18")
        for group in groups:
            title = "without " + ", ".join(group)
            progress.print(f"exporting {title}")
            recipe = recipe_without(group, folder)
            reports[title] = export(model, folder / title, *size, "--recipe", str(recipe))
        paths = {title: next((folder / title).glob("*.onnx")) for title in reports}
        times: dict[str, list[float]] = {title: [] for title in paths}
        for i in range(rounds):
            for title in list(paths)[:: 1 if i % 2 else -1]:
                times[title].append(milliseconds(paths[title], threads, seconds, core))
            progress.print(f"round {i + 1} of {rounds}")
    table = Table("export", "ms", "ratio", "lowest", "highest", title=f"{model}, {input_size} px, {threads} thread(s)")
    for title, found in times.items():
        ratios = [time / full for time, full in zip(found, times[FULL], strict=True)]
        middle = statistics.median(ratios)
        table.add_row(
            title, f"{statistics.median(found):.2f}", *(f"{x:.3f}" for x in (middle, min(ratios), max(ratios)))
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
