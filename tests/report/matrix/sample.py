"""Made-up sweeps: the same figures in every run, and a folder with the files that the cells name."""

import random
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from mobilevit_deploy.report.matrix.record import Cell, CellAccuracy, CellLatency, Gate, Sweep

MODELS = (
    "cas_vit_xs", "cas_vit_s", "cas_vit_m", "cas_vit_t", "cloformer_xxs", "cloformer_xs", "cloformer_s",
    "lightvit_tiny", "lightvit_small", "lightvit_base", "saevit_0p8g", "saevit_1p3g",
)  # fmt: skip
TARGETS: dict[str, Sequence[str]] = {
    "onnx": ("fp32", "fp16", "int8"), "coreml": ("fp32", "fp16", "w8"), "litert": ("fp32", "fp16", "int8"),
    "executorch": ("fp32", "int8"),
}  # fmt: skip
DEVICES = {"onnx": "AMD EPYC 7B13", "coreml": "iPhone 15", "litert": "Pixel 8", "executorch": "AMD EPYC 7B13"}
SHRINK = {"fp32": 1.0, "fp16": 0.5, "int8": 0.27, "w8": 0.26}
REASONS = (
    ("latency 14.20 ms, at most 12.00", "leave the limit, or take a smaller model"),
    ("parity: SNR 31 dB, at least 40", "mvd verify --locate names the operation"),
    ("the converter took more than 600 s", "raise time_limit in sweep.toml"),
)


def made_up(count: int, name: str = "nightly", seed: int = 0) -> Sweep:
    """Returns a sweep of so many cells; of another seed the latencies differ a little, and some cells much."""
    places = [(target, precision) for target, found in TARGETS.items() for precision in found]
    rows = -(-count // len(places))
    pairs = [(MODELS[i % len(MODELS)], f"epoch-{100 + 20 * (i // len(MODELS))}") for i in range(rows)]
    every = [(*pair, *place) for pair, place in product(pairs, places)][:count]
    cells = [_cell(*one, random.Random(f"{one}"), random.Random(f"{one} {seed}")) for one in every]
    return Sweep(name=name, made=f"2026-11-{20 + seed} 03:12 UTC", version={"mvd": "1.0.0"}, cells=cells)


def _cell(model: str, checkpoint: str, target: str, precision: str, same: random.Random, noise: random.Random) -> Cell:
    key = f"{model}-{checkpoint}-{target}-{precision}"
    folder = f"cells/{key}"
    scale = 1 + MODELS.index(model) * 0.35
    shared = {
        "id": key, "model": model, "checkpoint": f"{checkpoint}.pth", "target": target, "precision": precision,
        "size": "224x224", "device": DEVICES[target], "worker": f"desk-{same.randrange(1, 4)}", "attempts": 1,
    }  # fmt: skip
    luck = noise.random()
    if luck < 0.02:
        return Cell(**shared, status="waiting")
    if luck < 0.06:
        reason, hint = same.choice(REASONS)
        return Cell(**shared, status="failed", reason=reason, hint=hint, log=f"{folder}/log.txt")
    p50 = scale * 4 * (0.6 + 0.4 * SHRINK[precision]) * same.uniform(0.8, 1.2)
    p50 *= 1.12 if luck > 0.97 else noise.uniform(0.998, 1.002)
    reference = 0.70 + 0.012 * MODELS.index(model) + same.uniform(-0.01, 0.01)
    loss = {"fp32": 0, "fp16": 0.0003, "int8": 0.011, "w8": 0.002}[precision] * same.uniform(0.5, 1.5)
    bytes_ = int(scale * 11e6 * SHRINK[precision] * (1.03 if luck > 0.98 else 1))
    stable = luck < 0.96
    gates = (
        Gate(gate="parity", status="passed", found="1e-6", limit="1e-5"),
        Gate(gate="latency", status="passed" if stable else "undecided", reason="" if stable else "not stable"),
    )
    return Cell(
        **shared,
        status="done",
        gates=gates,
        sha256=f"{same.getrandbits(256):064x}",
        bytes=bytes_,
        parity="passed",
        snr_db={"fp32": 118, "fp16": 58, "int8": 32, "w8": 41}[precision] + same.uniform(-4, 4),
        accuracy=CellAccuracy(artifact=round(reference - loss, 4), pytorch=round(reference, 4), images=5000),
        latency=CellLatency(
            p50=p50, low=p50 * 0.99, high=p50 * 1.015, device=DEVICES[target], threads=1, stable=stable
        ),
        seconds=same.uniform(8, 60),
        artifact=f"{folder}/{model}.{target}",
        report=f"{folder}/report.json",
        page=f"{folder}/report.html",
        log=f"{folder}/log.txt",
    )


def write(sweep: Sweep, folder: Path, *, files: bool = True) -> Path:
    """Writes a sweep and, if they are asked for, the files of its cells; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_text(sweep.model_dump_json(), encoding="utf-8")
    for cell in sweep.cells if files else ():
        for name in (cell.artifact, cell.report, cell.page, cell.log):
            if name:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(f"<!DOCTYPE html><title>{cell.id}</title>{cell.id}", encoding="utf-8")
    return folder
