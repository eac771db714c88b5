"""Trains, exports and measures; writes docs/measured/trained-heads.md and its pictures.

``python -m benchmarks.trained_heads FOLDER`` does all of it, in about an hour of one core. What lies in FOLDER already
is not made again: the checkpoints ``segment.pth`` and ``detect.pth``, and ``rows.json`` with the figures so far. Run in
a second environment it adds the targets whose packages are installed there.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.trained_heads.draw import draw
from benchmarks.trained_heads.exports import TASKS, export_all
from benchmarks.trained_heads.page import page
from benchmarks.trained_heads.shapes import write_set

DOCS = Path(__file__).parents[2] / "docs"
SETS = {"val": (60, 1), "calibration": (60, 2)}  # images, and the seed, which is none of training's


def main() -> None:
    """Does what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, (count, seed) in SETS.items():
        if not (folder / name).exists():
            write_set(folder / name, count, seed)
    for task in TASKS:
        path = folder / f"{task}.pth"
        if not path.exists():
            begin = ["--begin", folder / "segment.pth"] if task == "detect" else []
            command = [sys.executable, "-m", "benchmarks.trained_heads.train", task, path, *begin]
            subprocess.run([str(part) for part in command], check=True)
    rows = export_all(folder)
    for task in TASKS:
        draw(folder, task, DOCS / "images" / f"trained-{task}.png")
    (DOCS / "measured" / "trained-heads.md").write_text(page(rows, SETS["val"][0]))


if __name__ == "__main__":
    main()
