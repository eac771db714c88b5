"""What `mvd export cas_vit_m --to onnx` costs beside the script that users would otherwise write.

Alternates both in fresh processes and prints medians of wall time, the peak memory of the process, and that of it
and everything it started (pages that two processes share counted once; Linux only), sampled every 20 ms.
Run: ``python benchmarks/cost_of_export.py [ROUNDS]``.
"""

import statistics
import subprocess
import sys
import tempfile
import time

import psutil

BARE = """
import onnx, onnxsim, torch
from mobilevit_deploy.architectures import cas_vit
model = cas_vit.build("classify", 1000, depths=[3, 3, 6, 3], widths=[64, 96, 192, 384]).eval()
torch.onnx.export(model, (torch.zeros(1, 3, 224, 224),), dynamo=True, opset_version=20).save("bare.onnx")
simplified, _ = onnxsim.simplify("bare.onnx")
onnx.save(simplified, "bare.onnx")
"""

COMMANDS = {
    "bare script": [sys.executable, "-c", BARE],
    "mvd export": [sys.executable, "-m", "mobilevit_deploy", "export", "cas_vit_m", "--to", "onnx"],
}


def measure(command: list[str]) -> tuple[float, float, float]:
    """Returns seconds, peak resident MiB of the process, and of it with its children (proportional set size)."""
    alone = together = 0.0
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            watched = psutil.Process(process.pid)
            while process.poll() is None:
                try:
                    own = watched.memory_info().rss / 2**20
                    family = [watched, *watched.children(recursive=True)]
                    shares = sum(member.memory_full_info().pss for member in family) / 2**20
                    alone, together = max(alone, own), max(together, shares)
                except psutil.NoSuchProcess:
                    pass  # it ended between two readings
                time.sleep(0.02)
        assert process.returncode == 0, command
        return time.perf_counter() - start, alone, together


def main() -> None:
    """Alternates the commands and prints a table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            found[name].append(measure(command))
    print(f"{'':14}{'seconds':>10}{'MiB alone':>12}{'MiB with children':>20}   medians of {rounds}")
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    for name, (seconds, alone, together) in medians.items():
        print(f"{name:14}{seconds:10.1f}{alone:12.0f}{together:20.0f}")
    bare, mvd = medians["bare script"], medians["mvd export"]
    ratios = [mvd[i] / bare[i] for i in (1, 2)]
    print(f"difference {mvd[0] - bare[0]:+.1f} s, memory ratio {ratios[0]:.2f}, with children {ratios[1]:.2f}")


if __name__ == "__main__":
    main()
