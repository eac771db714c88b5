"""Latency of int8 files beside the naive float32 export and mvd's own.

Run: ``python benchmarks/int8_latency.py [MODEL ...]``.

The naive export is ``torch.onnx.export(dynamo=True)`` of the untouched model; ONNX Runtime optimises all files when it
opens them. One thread, pinned, a fresh process per file and round, in turns; CPU time per run, for others may use the
machine. Prints medians, the median of the rounds' ratios with the least and the largest, and the lowest decile, which
is nearest to a machine of one's own.
"""

import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch

from mobilevit_deploy.export import ExportRequest, export_model
from mobilevit_deploy.load import ModelRequest, load_model

ROUNDS = 9
CORE = 1
MODELS = ("cas_vit_m", "cloformer_s", "lightvit_tiny", "saevit_0p8g")

CHILD = f"""
import os, sys, time
import numpy as np, onnxruntime
os.sched_setaffinity(0, [{CORE}])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
value = session.get_inputs()[0]
batch = {{value.name: np.random.default_rng(0).standard_normal(value.shape).astype(np.float32)}}
for _ in range(8):
    session.run(None, batch)
times = []
for _ in range(30):
    start = time.process_time()
    session.run(None, batch)
    times.append(1e3 * (time.process_time() - start))
print(np.median(times), np.quantile(times, 0.1))
"""


def export_all(name: str, folder: Path) -> dict[str, Path]:
    """Returns the three files of a model, int8 calibrated on structured images: ranges change no time."""
    request = ModelRequest(name)
    module = load_model(request).module
    naive = folder / f"{name}-naive.onnx"
    program = torch.onnx.export(module, (torch.zeros(1, 3, 224, 224),), dynamo=True, opset_version=18, verbose=False)
    assert program is not None
    program.save(str(naive))
    (own,) = export_model(ExportRequest(request, ("onnx",), folder=folder))
    settings = {"precision": "int8", "calibrate": Path("structured"), "folder": folder}
    (int8,) = export_model(ExportRequest(request, ("onnx",), **settings))
    return {"naive": naive, "mvd, float32": own.artifact.path, "mvd, int8": int8.artifact.path}


def time_file(path: Path) -> tuple[float, float]:
    """Returns the median and the lowest decile of CPU time a run, in ms, of one process."""
    done = subprocess.run([sys.executable, "-c", CHILD, path], capture_output=True, text=True, check=True)
    median, lowest = map(float, done.stdout.split())
    return median, lowest


def main() -> None:
    """Exports, alternates and prints a table."""
    warnings.simplefilter("ignore")
    for name in sys.argv[1:] or MODELS:
        with tempfile.TemporaryDirectory() as folder:
            files = export_all(name, Path(folder))
            rounds = [{kind: time_file(path) for kind, path in files.items()} for _ in range(ROUNDS)]
        print(f"{name:16}{'ms':>8}{'ratio':>8}   of {ROUNDS} rounds  lowest decile, ratio")
        for kind in files:
            median = statistics.median(found[kind][0] for found in rounds)
            ratios = [found[kind][0] / found["naive"][0] for found in rounds]
            lowest, base = (min(found[key][1] for found in rounds) for key in (kind, "naive"))
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            least = f"{lowest:9.2f} ms{lowest / base:8.3f}"
            print(f"  {kind:14}{median:8.2f}{statistics.median(ratios):8.3f}   {spread}{least}")


if __name__ == "__main__":
    main()
