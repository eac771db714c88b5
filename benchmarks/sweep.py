"""How long sweeps take: real exports by one process, by two and on a cluster, and what the cluster costs a cell.

python -m benchmarks.sweep exports [MODEL ...] --size 224     every way of running them: seconds, ratios, digests
python -m benchmarks.sweep overhead --cells 1000              simulated cells on a LocalCluster: overhead, memory

``exports`` takes the catalog's twelve models, three targets and two precisions where nothing is named; a model that
does not take the size is made at its own. ExecuTorch and Core AI are left out unless they are asked for: ExecuTorch's
own int8 lowering and LightViT in half precision on Core AI's runtime take minutes a model, whichever way they are run.
Every way begins with nothing kept, and each process has one thread, so that ways differ in processes alone. One process
is the pool with one, which is what a loop over ``mvd check`` comes to, less its imports.
"""

import argparse
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.report.matrix.record import Sweep
from mobilevit_deploy.sweep import attempt
from mobilevit_deploy.sweep.run import Moment, SweepRequest, run_sweep
from tests.sweep.simulated import WORKER

WORKERS = 2
PRECISIONS = {
    "onnx": ("fp32", "int8"),
    "coreml": ("fp32", "fp16"),
    "coreai": ("fp32", "fp16"),
    "litert": ("fp32", "fp16"),
    "executorch": ("fp32", "int8"),
}
TARGETS = ("onnx", "coreml", "litert")
LOOK_S = 0.2


@contextmanager
def cluster() -> Iterator[str]:
    """Starts a cluster of two workers on this machine; yields its address."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as started:
        yield started.scheduler_address


def write_matrix(folder: Path, models: list[str], targets: list[str], size: int) -> Path:
    """Writes a sweep of models by targets and two precisions each; models that do not take the size have their own."""
    rules = {model: catalog.models()[model].family.input for model in models}
    own = {model: rule.default_size for model, rule in rules.items() if not rule.allows("classify", size, size)}
    chosen = {target: PRECISIONS[target] for target in targets}
    precisions = sorted({name for names in chosen.values() for name in names})
    lines = [
        "retries = 0",
        "options = { calibrate = 'structured' }",
        "[matrix]",
        f"models = {models}",
        f"targets = {targets}",
        f"precisions = {precisions}",
        f"sizes = {sorted({size, *own.values()})}",
    ]
    for model in models:
        others = [other for other in {size, *own.values()} if other != own.get(model, size)]
        if others:
            lines += ["[[exclude]]", f"model = '{model}'", f"size = {[str(other) for other in others]}"]
    for target, written in chosen.items():
        others = [name for name in precisions if name not in written]
        if not others:
            continue
        lines += ["[[exclude]]", f"target = '{target}'", f"precision = {others}"]
    path = folder / "exports.toml"
    path.write_text("\n".join(lines))
    return path


def keep_nothing(folder: Path, name: str) -> None:
    """Gives processes that start from now on an empty folder for kept exports."""
    os.environ["MVD_CACHE"] = str(folder / f"kept-{name}")


def run(file: Path, folder: Path, name: str, **given: object) -> tuple[Sweep, float]:
    """Runs a sweep; returns it and the seconds that it took."""
    begun = time.perf_counter()
    request = SweepRequest(file, str(folder / name), **given)  # type: ignore[arg-type]
    sweep = run_sweep(request, lambda moment: _say(name, moment))
    return sweep, time.perf_counter() - begun


def _say(name: str, moment: Moment) -> None:
    if moment.line:
        print(f"{name}: {moment.done + moment.failed} of {moment.total}; {moment.line}", file=sys.stderr, flush=True)


def exports(models: list[str], targets: list[str], size: int) -> None:
    """Prints what each way took, its ratio to one process, and whether the files are the same.

    The ways are run in turns, a family of models at a time, each time another one first: what else the machine does in
    an hour and a half happens to all of them.
    """
    families: dict[str, list[str]] = {}
    for model in models or list(catalog.models()):
        families.setdefault(catalog.models()[model].family.family, []).append(model)
    found: dict[str, list[tuple[Sweep, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="mvd-sweep-benchmark-") as name:
        for number, (family, members) in enumerate(families.items()):
            folder = Path(name) / family
            folder.mkdir()
            file = write_matrix(folder, members, targets, size)
            turn = number % len(WAYS)
            for way in (*list(WAYS)[turn:], *list(WAYS)[:turn]):
                keep_nothing(folder, way.replace(" ", "-"))  # before a cluster's workers start
                found[way].append(WAYS[way](file, folder))
                print(f"{family}, {way}: {found[way][-1][1]:.1f} s", file=sys.stderr, flush=True)
    cells = {way: [cell for sweep, _ in runs for cell in sweep.cells] for way, runs in found.items()}
    seconds = {way: sum(took for _, took in runs) for way, runs in found.items()}
    first = next(iter(WAYS))
    wanted = {cell.id: (cell.status, cell.sha256) for cell in cells[first]}
    print(f"{len(wanted)} cells at {size} px, one thread each, on {len(os.sched_getaffinity(0))} cores")
    print("| way | seconds | of one process | done | same digests |\n|---|---|---|---|---|")
    for way, own in cells.items():
        same = {cell.id: (cell.status, cell.sha256) for cell in own} == wanted
        done = sum(cell.status == "done" for cell in own)
        ratio = seconds[way] / seconds[first]
        print(f"| {way} | {seconds[way]:.1f} | {ratio:.2f} | {done} | {'yes' if same else 'NO'} |")
    for cell in cells[first]:
        if cell.status != "done":
            print(f"{cell.id}: {cell.reason}")


def _on_cluster(file: Path, folder: Path) -> tuple[Sweep, float]:
    with cluster() as address:
        return run(file, folder, "cluster", scheduler=address)


WAYS: dict[str, Callable[[Path, Path], tuple[Sweep, float]]] = {  # the first is what the others are compared with
    "one process": lambda file, folder: run(file, folder, "one", jobs=1),
    "pool of two": lambda file, folder: run(file, folder, "pool", jobs=WORKERS),
    "LocalCluster of two": _on_cluster,
}


def overhead(cells: int, seconds: float) -> None:
    """Prints what a cluster takes beside the time that its cells sleep, and the client's memory."""
    attempt.WORKER = WORKER
    with tempfile.TemporaryDirectory(prefix="mvd-sweep-benchmark-") as name, cluster() as address:
        folder, seen = Path(name), list[int]()
        models = [f"sim.py:c{number}" for number in range(cells)]
        text = (
            f"options = {{ model_args = {{ seconds = {seconds} }} }}\n[matrix]\nmodels = {models}\ntargets = ['onnx']\n"
        )
        (folder / "simulated.toml").write_text(text)
        (folder / "sim.py").touch()
        me, over = psutil.Process(), threading.Event()

        def watch() -> None:
            while not over.wait(LOOK_S):
                seen.append(me.memory_info().rss)

        before = me.memory_info().rss
        watcher = threading.Thread(target=watch)
        watcher.start()
        cpu = time.process_time()
        sweep, took = run(folder / "simulated.toml", folder, "out", scheduler=address)
        cpu = time.process_time() - cpu
        over.set()
        watcher.join()
    done = [cell for cell in sweep.cells if cell.status == "done"]
    each = statistics.median(cell.seconds or 0.0 for cell in done)
    slept = seconds * cells / WORKERS
    print(
        f"{len(done)} of {cells} simulated cells of {seconds} s on {WORKERS} workers: {took:.1f} s, slept {slept:.1f} s"
    )
    print(f"overhead: {1000 * (took - slept) / cells:.1f} ms a cell; client's CPU: {1000 * cpu / cells:.1f} ms a cell")
    print(f"a cell on its worker: {1000 * each:.0f} ms, median")
    grown = (max(seen) - before) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"client's memory: {before / 2**20:.0f} MB before, {grown:.0f} MB more at most; its peak {peak:.0f} MB")


def main() -> None:
    """Runs what was asked for."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # of the processes that make cells
        os.environ.setdefault(name, "1")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_exports = commands.add_parser("exports")
    of_exports.add_argument("models", nargs="*")
    of_exports.add_argument("--size", type=int, default=224)
    of_exports.add_argument("--targets", nargs="+", choices=list(PRECISIONS), default=list(TARGETS))
    of_overhead = commands.add_parser("overhead")
    of_overhead.add_argument("--cells", type=int, default=1000)
    of_overhead.add_argument("--seconds", type=float, default=0.05)
    given = parser.parse_args()
    if given.command == "exports":
        exports(given.models, given.targets, given.size)
    else:
        overhead(given.cells, given.seconds)


if __name__ == "__main__":
    main()
