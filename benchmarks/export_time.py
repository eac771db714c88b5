"""How long exports take in this version of the package and in another one, and beside a bare script.

Each command runs in a fresh process, the versions taking turns, and nothing that was kept is taken. Told are medians of
seconds of wall time, and of processor time of the process and its children, in brackets the smallest and the largest.

Run: ``python benchmarks/export_time.py [--before FOLDER] [--rounds N] [--only NAME]``. FOLDER is a checkout of another
revision, as ``git worktree add FOLDER REVISION`` makes it; both versions run with the packages of this Python.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parents[1]

TINY = """
from torch import nn

def tiny():
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(8, 10))
"""

BARE = """
import onnx, onnxsim, torch
from tiny import tiny
torch.onnx.export(tiny().eval(), (torch.zeros(1, 3, 224, 224),), dynamo=True, opset_version=20).save("bare.onnx")
simplified, _ = onnxsim.simplify("bare.onnx")
onnx.save(simplified, "bare.onnx")
"""


@dataclass(frozen=True)
class Case:
    """What is run by ``mvd``, or by ``python -c`` where ``script`` is there; ``code`` is the exit code of a refusal."""

    arguments: tuple[str, ...] = ()
    script: str = ""
    code: int = 0


CASES = {
    "two targets": Case(("export", "cas_vit_xs", "--to", "onnx", "--to", "coreml", "--force")),
    "onnx": Case(("export", "cas_vit_xs", "--to", "onnx", "--force")),
    "coreml": Case(("export", "cas_vit_xs", "--to", "coreml", "--force")),
    "tiny": Case(("export", "tiny.py:tiny", "--to", "onnx", "--force")),
    "tiny, bare script": Case(script=BARE),
    "unknown model": Case(("export", "cas_vit_xxl", "--to", "onnx"), code=2),
    "unknown option": Case(("export", "cas_vit_xs", "--to", "onnx", "--no-such"), code=2),
    "opset out of range": Case(("export", "cas_vit_xs", "--to", "onnx", "--opset", "3"), code=2),
    "unknown target": Case(("export", "cas_vit_xs", "--to", "nothing"), code=2),
}


def measure(case: Case, package: Path) -> tuple[float, float]:
    """Returns seconds of wall time, and of processor time of the process and all its children."""
    command = [sys.executable, *(["-c", case.script] if case.script else ["-m", "mobilevit_deploy", *case.arguments])]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tiny.py").write_text(TINY, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(package)}
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.returncode == case.code, f"{command}: {ended.returncode}\n{ended.stderr}"
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Takes turns and prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--before", type=Path, help="checkout of another revision")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=CASES, help="a case; may be given more than once")
    asked = parser.parse_args()
    versions = {"before": asked.before.resolve()} if asked.before else {}
    versions["now"] = HERE
    names = asked.only or list(CASES)
    print(f"{'':22}{'':8}{'wall s':>22}{'processor s':>22}   medians of {asked.rounds}")
    for name in names:
        found: dict[str, list[tuple[float, float]]] = {version: [] for version in versions}
        for turn in range(asked.rounds):
            order = list(versions.items())
            for version, package in order if turn % 2 else order[::-1]:
                found[version].append(measure(CASES[name], package))
        for version, rows in found.items():
            print(f"{name:22}{version:8}" + "".join(f"{show(column):>22}" for column in zip(*rows, strict=True)))
        if len(versions) > 1:
            ratios = [now[0] / before[0] for before, now in zip(found["before"], found["now"], strict=True)]
            print(f"{'':22}{'ratio':8}{show(ratios):>22}", flush=True)


def show(values: tuple[float, ...] | list[float]) -> str:
    """Returns the median with the range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
