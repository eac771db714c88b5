"""Whether `mvd latency` may be believed: three checks of the method, on this machine as it is now.

1. Repeatability: pairs of runs of the same artifact, both of which call themselves stable, have intervals that overlap.
   What is not stable is measured again, up to a limit, and counted.
2. Honesty: with another process on every core, no run calls itself stable.
3. Agreement: p50 is that of a bare ONNX Runtime loop in a process of its own, alternating, median of five.

Run: ``python benchmarks/latency_method.py ARTIFACT.onnx [PAIRS] [ATTEMPTS]``. It takes some minutes; the exit code is 1
when a check that could be made failed.
"""

import json
import os
import statistics
import subprocess
import sys
from typing import Any

BARE = """
import sys, time
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
item = session.get_inputs()[0]
feed = {item.name: numpy.random.default_rng(0).standard_normal(item.shape).astype(numpy.float32)}
times = []
start = time.perf_counter()
while time.perf_counter() - start < 5:
    begin = time.perf_counter()
    session.run(None, feed)
    times.append((time.perf_counter() - begin) * 1e3)
print(numpy.median(times[len(times) // 5:]))  # the first second is the warm-up
"""
SPIN = "while True: pass"
LIMIT = 0.03  # p50 against the bare loop


def mvd(artifact: str, seconds: float = 20) -> dict[str, Any]:
    """Returns one result of `mvd latency`."""
    command = [sys.executable, "-m", "mobilevit_deploy", "latency", artifact, "--threads", "1"]
    done = subprocess.run(
        [*command, "--seconds", str(seconds), "--json"], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    (result,) = json.loads(done.stdout)["results"]
    return dict(result)


def describe(result: dict[str, Any]) -> str:
    """Returns one line for people."""
    low, high = result["ci95_ms"]
    conditions = result["conditions"]
    waiting = conditions["waiting_share"]
    return (
        f"p50 {result['p50_ms']:7.3f} ({low:.3f} to {high:.3f}) drift {result['drift']:.1%} "
        f"others {conditions['others_share']:.0%} waiting {'unknown' if waiting is None else f'{waiting:.1%}'} "
        f"{'stable' if result['stable'] else 'NOT STABLE'}"
    )


def repeatability(artifact: str, pairs: int, attempts: int) -> bool:
    """Measures until there are enough pairs of neighbouring stable runs."""
    stable: list[dict[str, Any]] = []
    tried = 0
    while len(stable) < 2 * pairs and tried < attempts:
        tried += 1
        result = mvd(artifact)
        print("  ", describe(result), flush=True)
        if result["stable"]:
            stable.append(result)
    found = list(zip(stable[::2], stable[1::2], strict=False))
    agree = sum(a["ci95_ms"][0] <= b["ci95_ms"][1] and b["ci95_ms"][0] <= a["ci95_ms"][1] for a, b in found)
    print(
        f"repeatability: {agree} of {len(found)} pairs of stable runs agree; {len(stable)} of {tried} runs were stable"
    )
    if len(found) < pairs:
        print("   fewer pairs than asked for: the machine was too busy to call more runs stable")
    return agree >= 0.9 * len(found)


def honesty(artifact: str, runs: int = 10) -> bool:
    """Measures beside a process that keeps each core busy."""
    load = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(os.cpu_count() or 1)]
    try:
        results = [mvd(artifact, seconds=3) for _ in range(runs)]
    finally:
        for process in load:
            process.kill()
            process.wait()
    for result in results:
        print("  ", describe(result))
    count = sum(result["stable"] for result in results)
    print(f"honesty: {count} of {runs} runs called themselves stable while every core was busy")
    return count == 0


def agreement(artifact: str, rounds: int = 5) -> bool:
    """Alternates `mvd latency` with a bare loop."""
    ratios = []
    for _ in range(rounds):
        bare = float(subprocess.run([sys.executable, "-c", BARE, artifact], check=True, capture_output=True).stdout)
        result = mvd(artifact)
        ratios.append(result["p50_ms"] / bare)
        print(f"   bare {bare:7.3f}  mvd {describe(result)}", flush=True)
    ratio = statistics.median(ratios)
    print(f"agreement: p50 is {ratio:.3f} of the bare loop's; {' '.join(f'{value:.3f}' for value in ratios)}")
    return abs(ratio - 1) <= LIMIT


def main() -> int:
    """Prints the three figures."""
    artifact = sys.argv[1]
    pairs = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    attempts = int(sys.argv[3]) if len(sys.argv) > 3 else 4 * pairs
    print(f"load average {' '.join(f'{value:.2f}' for value in os.getloadavg())}")
    results = [agreement(artifact), honesty(artifact), repeatability(artifact, pairs, attempts)]
    print(f"load average {' '.join(f'{value:.2f}' for value in os.getloadavg())}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
