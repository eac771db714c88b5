"""Damaged weights in files of every target and precision: how many of them ``mvd verify`` ends in exit 3 for, by name.

Each damage is one of four kinds, of a tensor drawn at random, made in the file's bytes.
Run: ``python -m benchmarks.damage``; it takes some ten minutes, most of them for Core AI.
"""

import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.support.damage.kinds import KINDS
from tests.support.damage.make import caught, draw
from tests.support.damage.subjects import SUBJECTS, Subject

progress = Console(stderr=True)


def count(subject: Subject, number: int, seed: int) -> tuple[Counter[str], float]:
    """Returns how many damages of each kind were caught and named, and the seconds of one verification."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = subject.export(Path(folder) / "exported")
        start = time.perf_counter()
        for damage in draw(path, number, seed):
            missed = caught(damage, path, Path(folder) / path.name)
            if missed:
                progress.print(f"{subject}: {missed}", style="red")
            found[damage.kind] += not missed
        return found, (time.perf_counter() - start) / number


def main(
    number: Annotated[int, typer.Option(help="damages for each target and precision")] = 100,
    seed: Annotated[int, typer.Option(help="of the choice of tensors and places")] = 0,
) -> None:
    """Prints a Markdown table."""
    print("| file |", " | ".join(KINDS), "| caught and named | seconds each |")
    print("| --- |", " | ".join(["---:"] * (len(KINDS) + 2)), "|")
    for subject in SUBJECTS:
        found, seconds = count(subject, number, seed)
        numbers = " | ".join(str(found[kind]) for kind in KINDS)
        print(f"| {subject} | {numbers} | {found.total()} of {number} | {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
