"""What an export to Core ML takes beside one in which coremltools makes all of its checks.

Alternates both in fresh processes and prints medians of wall time, imports aside; the packages must be the same.
Run: ``python benchmarks/coreml_checks.py [MODEL] [ROUNDS]``.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from mobilevit_deploy.system.hashing import measure_files

EXPORT = """
import contextlib, sys, time
from pathlib import Path
from mobilevit_deploy import ExportRequest, ModelRequest, export_model
from mobilevit_deploy.targets.coreml import convert as coreml
if {all_checks}:
    coreml.fewer_checks = contextlib.nullcontext
start = time.perf_counter()
export_model(ExportRequest(ModelRequest({model!r}), ("coreml",), folder=Path({folder!r})))
print(time.perf_counter() - start)
"""


def export(model: str, folder: Path, all_checks: bool) -> tuple[float, str]:
    """Returns the seconds that an export took in a process of its own, and the package's hash."""
    code = EXPORT.format(model=model, folder=str(folder), all_checks=all_checks)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (package,) = folder.glob("*.mlpackage")
    return float(done.stdout.splitlines()[-1]), measure_files(package)[0]


def main() -> None:
    """Alternates the two and prints their medians and the median of their ratios."""
    model = sys.argv[1] if len(sys.argv) > 1 else "cas_vit_xs"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    times: list[tuple[float, float]] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            every, fewer = export(model, Path(one), True), export(model, Path(other), False)
        assert every[1] == fewer[1], "the packages differ"
        times.append((every[0], fewer[0]))
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    ratio = statistics.median(fewer / every for every, fewer in times)
    print(f"{model}: all checks {medians[0]:.1f} s, fewer {medians[1]:.1f} s, ratio {ratio:.2f} (medians of {rounds})")


if __name__ == "__main__":
    main()
