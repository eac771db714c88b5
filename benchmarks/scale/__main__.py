"""How long an export takes, and how much memory, by the model's parameters and by the image's size.

A plain vision transformer of 6 to 304 million parameters at 224 px, and the smallest of them from 224 to 1024 px, each
to each target in a process of its own. Time is the processor's, of the process and all that it starts: other work on
the machine changes it little. Memory is the largest sum of them (pages that two share counted once; Linux only).
Run: ``python -m benchmarks.scale [--targets onnx coreml] [--cases tiny ...] --results FILE.json --markdown FILE.md
--plot FILE.svg``. What FILE.json has is not run again.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

MODEL = Path(__file__).with_name("vit.py")
CASES: Mapping[str, Mapping[str, int]] = {
    "tiny": {"width": 192},
    "small": {"width": 384},
    "base": {"width": 768},
    "large": {"width": 1024, "depth": 24},
    "tiny, 448 px": {"width": 192, "size": 448},
    "tiny, 672 px": {"width": 192, "size": 672},
    "tiny, 1024 px": {"width": 192, "size": 1024},
}
ALLOWED = 3, 2**30  # of the weights, and bytes beside: what an export may take


def measure(case: Mapping[str, int], target: str) -> dict[str, Any]:
    """Exports once; returns seconds, processor seconds, peak bytes, and what the report says of the file."""
    size = case.get("size", 224)
    command = [
        sys.executable,
        "-m",
        "mobilevit_deploy",
        "export",
        f"{MODEL}:build",
        "--to",
        target,
        "--json",
        "--force",
    ]
    command += [
        "--input-size",
        str(size),
        "--jobs",
        "1",
        *(f"--model-arg={key}={value}" for key, value in case.items()),
    ]
    peak = 0
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "out").open("w+") as out:
        environment = {**os.environ, "XDG_CACHE_HOME": folder}  # nothing is kept of it
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        with subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.DEVNULL, env=environment) as process:
            watched = psutil.Process(process.pid)
            while process.poll() is None:
                try:
                    family = [watched, *watched.children(recursive=True)]
                    peak = max(peak, sum(member.memory_full_info().pss for member in family))
                except psutil.NoSuchProcess:
                    pass  # it ended between two readings
                time.sleep(0.5)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        out.seek(0)
        text = out.read()
    document = json.loads(text)["artifacts"][0] if text.startswith("{") else {}
    return {
        "exit": process.returncode,
        "seconds": seconds,
        "processor_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_bytes": peak,
        "operations": sum(document.get("ops", {}).values()),
        "file_bytes": document.get("bytes"),
    }


def weights_of(case: Mapping[str, int]) -> int:
    """Returns the bytes of a model's weights in float32."""
    from benchmarks.scale.vit import build

    return 4 * sum(parameter.numel() for parameter in build(**case).parameters())


def table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns the lines of the table."""
    lines = [
        "| model | target | parameters | operations | processor time | peak memory | of 3 x weights + 1 GB |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        for key, row in found.items():
            name, _, target = key.rpartition(" to ")
            if name == case and row["exit"] == 0:
                allowed = ALLOWED[0] * row["weights"] + ALLOWED[1]
                lines.append(
                    f"| {name} | {target} | {row['weights'] / 4e6:.1f} M | {row['operations']} | "
                    f"{row['processor_seconds']:.0f} s | {row['peak_bytes'] / 2**30:.1f} GB | "
                    f"{row['peak_bytes'] / allowed:.2f} |"
                )
            elif name == case:
                lines.append(f"| {name} | {target} | {row['weights'] / 4e6:.1f} M | | exit {row['exit']} | | |")
    return lines


def draw(found: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draws time and memory against the weights, and against the pixels of the smallest model."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(9, 6), layout="constrained")
    targets = sorted({key.rpartition(" to ")[2] for key in found})
    for column, by_size in enumerate((False, True)):
        names = [name for name in CASES if name == "tiny" or ("px" in name) == by_size]
        for target in targets:
            rows = [(name, row) for name in names if (row := found.get(f"{name} to {target}")) and row["exit"] == 0]
            x = [CASES[name].get("size", 224) ** 2 / 1e6 if by_size else row["weights"] / 4e6 for name, row in rows]
            axes[0][column].plot(x, [row["processor_seconds"] for _, row in rows], "o-", label=target)
            axes[1][column].plot(x, [row["peak_bytes"] / 2**30 for _, row in rows], "o-", label=target)
        axes[1][column].set_xlabel("megapixels, 6 M parameters" if by_size else "million parameters, 224 px")
    axes[0][0].set_ylabel("processor time, s")
    axes[1][0].set_ylabel("peak memory, GB")
    axes[0][0].legend()
    for row in axes:
        for one in row:
            one.set_xlim(left=0)
            one.set_ylim(bottom=0)
            one.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Runs what is not known yet, and writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--targets", nargs="+", default=["onnx", "coreml"])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--results", type=Path, default=Path("scale.json"))
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    found = json.loads(given.results.read_text(encoding="utf-8")) if given.results.is_file() else {}
    for case in given.cases:
        for target in given.targets:
            if (key := f"{case} to {target}") not in found:
                print(key, flush=True)
                found[key] = {"weights": weights_of(CASES[case]), **measure(CASES[case], target)}
                given.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
                print(f"  {found[key]}", flush=True)
    if given.markdown:
        given.markdown.write_text("\n".join(table(found)) + "\n", encoding="utf-8")
    if given.plot:
        draw(found, given.plot)


if __name__ == "__main__":
    main()
