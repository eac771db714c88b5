"""What the tests of faults share: two trainings of one tiny network, and what must be true of an output folder."""

import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from mobilevit_deploy.system.hashing import measure_files, sha256_of
from mobilevit_deploy.system.publish import STAGING_PREFIX, staging
from tests.conftest import RESEARCH
from tests.research.tiny_net import build

NET = f"{RESEARCH / 'tiny_net.py'}:build"
STEM = "tiny_net_build-8x8-"
ARTIFACTS = {"onnx": f"{STEM}fp32.onnx", "coreml": f"{STEM}fp16.mlpackage"}
REPORTS = {"onnx": f"{STEM}fp32.onnx.json", "coreml": f"{STEM}fp16.coreml.json"}
CARDS = {target: f"{name.removesuffix('.json')}.md" for target, name in REPORTS.items()}


ENDED_S = 30.0  # at most; on a busy machine a process may wait long for a core


@dataclass(frozen=True)
class Checkpoints:
    """Two files of weights, so that one export can be told from the other."""

    first: Path
    second: Path

    def other(self, sha256: str | None) -> Path:
        """Returns the file that an export was not made from."""
        return self.second if sha256 == sha256_of(self.first) else self.first


def make_checkpoints(folder: Path) -> Checkpoints:
    paths = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        path = folder / f"seed-{seed}.pth"
        torch.save(build().state_dict(), path)
        paths.append(path)
    return Checkpoints(*paths)


def export(checkpoint: Path, *targets: str) -> tuple[object, ...]:
    to = [part for target in targets for part in ("--to", target)]
    return ("export", NET, "--input-size", "8", "--checkpoint", checkpoint, *to)


def weights_by_target(folder: Path) -> dict[str, str]:
    """Returns the hash of the weights of each report."""
    return {
        target: json.loads((folder / name).read_text())["weights"]["sha256"]
        for target, name in REPORTS.items()
        if (folder / name).exists()
    }


def hashes(folder: Path) -> dict[str, str]:
    """Returns the hash of everything in a folder that an export writes."""
    names = [*ARTIFACTS.values(), *REPORTS.values(), *CARDS.values()]
    return {name: measure_files(folder / name)[0] for name in names if (folder / name).exists()}


def check_whole(folder: Path, old: Mapping[str, str]) -> None:
    """Checks, straight after a fault, that every final name holds the old content or all of the new."""
    reported = set()
    for report in folder.glob("**/*.json"):
        if report.name in REPORTS.values():
            with suppress(ValueError):  # one that was being written
                reported.add(json.loads(report.read_text())["sha256"])
    found = hashes(folder)
    assert set(old) <= set(found), "what was there before is gone"
    for target, name in ARTIFACTS.items():
        assert found.get(name) in {None, old.get(name), *reported}, f"{target} is neither the old one nor the new one"


def recover(folder: Path) -> None:
    """Does what any later run does first; checks that nothing is left, and that reports and cards are of the files."""
    end = time.perf_counter() + ENDED_S
    while True:  # the forks of a killed run hold its folder until the system has ended them
        with staging(folder):
            pass
        left = list(folder.glob(f"{STAGING_PREFIX}*"))
        if not left or time.perf_counter() > end:
            break
        time.sleep(0.02)
    assert left == []
    for target, name in ARTIFACTS.items():
        if (folder / name).exists() or (folder / REPORTS[target]).exists():
            report = json.loads((folder / REPORTS[target]).read_text())
            assert report["sha256"] == measure_files(folder / name)[0], f"{target}: the report is of another file"
            assert report["sha256"] in (folder / CARDS[target]).read_text(), f"{target}: the card is of another file"
    known = {*ARTIFACTS.values(), *REPORTS.values(), *CARDS.values()}
    assert {path.name for path in folder.iterdir()} <= known, "something else was left"


def orphans(log: Path) -> list[str]:
    """Returns the workers that still run of the runs with a log folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if "mobilevit_deploy.targets." in command:
            try:
                if process.environ().get("TMPDIR", "").startswith(str(log)) and process.status() != "zombie":
                    found.append(command)
            except psutil.Error:
                continue
    return found


def unmeasured(_log: Path) -> None:
    """Stops coverage in a run that is interrupted at random moments.

    Its collector takes a lock that is not re-entrant when it meets a new file: an exception that a signal's handler
    raises just then keeps it locked, and the run waits for itself for ever.
    """
    coverage = sys.modules.get("coverage")
    if coverage and (current := coverage.Coverage.current()):
        current.stop()
