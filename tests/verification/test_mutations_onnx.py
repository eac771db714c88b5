"""Corrupted ONNX files: what a verification of the float32 file catches, on a small network that has every kind."""

import zlib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import onnx
import pytest

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline.conversion import convert_for_target
from mobilevit_deploy.pipeline.plan import TargetRequest, plan_target
from mobilevit_deploy.pipeline.prepare import prepare, ready_for_target
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.runners.base import Values
from mobilevit_deploy.targets.onnx.runner import OnnxRuntimeRunner, open_all
from mobilevit_deploy.verification.expected import Expected, run_all
from mobilevit_deploy.verification.leg import ARTIFACT, Candidate
from mobilevit_deploy.verification.legs import expect
from mobilevit_deploy.verification.parity import compare
from tests.support.mutations.judge import CHANGED
from tests.support.mutations.onnx_kinds import edits

PER_KIND = 4


class Subject:
    """A model with its float32 file."""

    def __init__(self, folder: Path) -> None:
        prepared = prepare(load_model(ModelRequest("tests.research.hybrid_net:build", size=(32, 32))))
        plan = plan_target(TargetRequest("onnx"))
        self.path = convert_for_target(plan, prepared, ready_for_target(plan, prepared), folder).path
        names = [output.name for output in prepared.captured.outputs]
        self.expected: Expected = expect(prepared.model.module, prepared.images, 1, names, Borders())
        self.intact = self.outputs(self.path)

    def outputs(self, path: Path) -> list[Values]:
        return run_all(OnnxRuntimeRunner(path, "disabled"), self.expected.images, 1)

    def verdict(self, path: Path) -> str:
        tolerance = catalog.recipe("onnx").tolerances["fp32"]
        return compare(self.expected, [Candidate(ARTIFACT, "fp32", tolerance, open_all(path))]).status

    def change(self, path: Path) -> float:
        """Returns the largest change of an output over its largest value; infinite where the file cannot be run."""
        try:
            found = self.outputs(path)
        except ArtifactError:
            return np.inf
        if [one.shape for one in found] != [one.shape for one in self.intact]:
            return np.inf
        changes = [np.abs(new - old).max() / np.abs(old).max() for new, old in zip(found, self.intact, strict=True)]
        return float(np.nan_to_num(max(changes), nan=np.inf))


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject(tmp_path_factory.mktemp("intact"))


@pytest.fixture(scope="module")
def outcomes(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[float, str]]]:
    """By kind, how far each corruption moved the outputs and what the verification said."""
    content = subject.path.read_bytes()
    places: dict[str, list[int]] = defaultdict(list)
    for i, edit in enumerate(edits(onnx.load_from_string(content))):
        places[edit.kind].append(i)
    copy = tmp_path_factory.mktemp("corrupted") / "corrupted.onnx"
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for kind, indices in places.items():
        rng = np.random.default_rng(zlib.crc32(kind.encode()))
        for i in rng.permutation(indices)[:PER_KIND]:
            model = onnx.load_from_string(content)
            list(edits(model))[i].apply(rng)
            onnx.save(model, str(copy))
            change = subject.change(copy)
            found[kind].append((change, "unreadable" if change == np.inf else subject.verdict(copy)))
    return found


def test_the_intact_file_passes(subject: Subject) -> None:
    assert subject.verdict(subject.path) == "passed"
    assert subject.change(subject.path) == 0


def test_all_that_changes_the_output_is_caught(outcomes: dict[str, list[tuple[float, str]]]) -> None:
    missed = Counter(
        kind
        for kind, results in outcomes.items()
        for change, verdict in results
        if change > CHANGED and verdict == "passed"
    )
    assert missed == {}
    assert sum(change > CHANGED for results in outcomes.values() for change, _ in results) >= 40


def test_every_kind_was_tried(outcomes: dict[str, list[tuple[float, str]]]) -> None:
    assert len(outcomes) >= 15
    assert {kind for kind, results in outcomes.items() if all(verdict == "unreadable" for _, verdict in results)} <= {
        "keepdims",
        "perm of transpose",
    }
