"""Corrupted packages: what a verification of the float32 package catches, on a small network that has every kind.

The figures for whole architectures, and for half precision, are those of ``benchmarks/mutations.py``.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from tests.support.mutations.judge import CHANGED, Subject, export_subject
from tests.support.mutations.kinds import KINDS
from tests.support.mutations.outcome import Outcome, count, examine
from tests.support.mutations.program import Program
from tests.support.mutations.sample import Corruption, draw

pytestmark = pytest.mark.filterwarnings("ignore")  # the converter's own warnings

PER_KIND = 3
SEED = 0


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("intact")
    return export_subject("tests.research.hybrid_net:build", 32, folder, ["fp32", "fp16"])


@pytest.fixture(scope="module")
def outcomes(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Outcome]]:
    folder = tmp_path_factory.mktemp("corrupted")
    subject = replace(subject, packages={"fp32": subject.packages["fp32"]})
    found: dict[str, list[Outcome]] = defaultdict(list)
    for kind in KINDS:
        for corruption in draw(subject.packages["fp32"], kind, PER_KIND, SEED):
            outcome = examine(subject, corruption, folder)
            if outcome:
                found[kind].append(outcome)
    return found


def test_the_intact_package_passes(subject: Subject) -> None:
    for precision, package in subject.packages.items():
        assert subject.caught_by_verify(package, precision, tight=precision == "fp16") == "passed"
    assert subject.change(subject.packages["fp32"]) == (0, 0)


def test_every_kind_was_tried(outcomes: Mapping[str, list[Outcome]]) -> None:
    assert {kind: len(outcomes[kind]) for kind in KINDS if len(outcomes[kind]) < 2} == {}
    # The kinds that keep shapes and types as declared must not end as packages that no runner takes.
    unread = [kind for kind in KINDS if "same shape" in kind and count(outcomes[kind]).unreadable]
    assert unread == []


def test_nearly_all_that_changes_the_output_is_caught(outcomes: Mapping[str, list[Outcome]]) -> None:
    total = count(outcome for kind in KINDS for outcome in outcomes[kind])
    assert total.changed >= 60
    assert total.share >= 0.95
    # On images that a verification does not see, too: it would be no use if it knew its own images only.
    assert total.caught_unseen >= 0.95 * total.unseen


def test_a_coarser_check_would_not_reach_that_share(subject: Subject, tmp_path: Path) -> None:
    """So the share says something about the tolerance: half precision's lets most changes of 1 % of a weight pass."""
    caught = tried = 0
    coarse = catalog.recipe("coreml").tolerances["fp16"]
    for corruption in draw(subject.packages["fp32"], "weight scaled by 1 %", 8, SEED):
        copy = corruption.make(subject.packages["fp32"], tmp_path / f"{tried}.mlpackage")
        assert copy is not None
        if subject.change(copy)[0] > CHANGED:
            tried += 1
            caught += subject.compare(copy, coarse).status == "failed"
    assert tried >= 6
    assert caught < 0.95 * tried


def test_the_tight_leg_catches_in_half_precision_what_its_tolerance_hides(subject: Subject, tmp_path: Path) -> None:
    outcomes = []
    for kind in ("epsilon made 1e-3", "weight scaled by 1 %", "GELU exact and tanh confused"):
        found = (examine(subject, corruption, tmp_path) for corruption in draw(subject.packages["fp32"], kind, 3, SEED))
        outcomes += [outcome for outcome in found if outcome]
    total = count(outcomes)
    assert total.halves >= 4
    assert total.caught_half < total.caught_tight == total.halves


class TestEngine:
    def test_both_precisions_have_the_same_places(self, subject: Subject, tmp_path: Path) -> None:
        programs = [Program(package) for package in subject.packages.values()]
        for kind in KINDS.values():
            one, other = ([edit.place for edit in kind(program)] for program in programs)
            assert one == other
            assert len(set(one)) == len(one)
        for corruption in draw(subject.packages["fp32"], "exponent bit of a weight flipped", 2, SEED):
            assert corruption.make(subject.packages["fp16"], tmp_path / f"{corruption.place}.mlpackage") is not None

    def test_the_same_seed_makes_the_same_file(self, subject: Subject, tmp_path: Path) -> None:
        package = subject.packages["fp32"]
        first, other = (list(draw(package, "two channels of a weight swapped", 4, seed)) for seed in (0, 1))
        assert first == list(draw(package, "two channels of a weight swapped", 4, 0))
        assert [one.place for one in first] != [one.place for one in other]
        copies = [first[0].make(package, tmp_path / f"{i}.mlpackage") for i in range(2)]
        contents = [Program(copy).content() for copy in copies if copy]
        assert contents[0] == contents[1] != Program(package).content()

    def test_what_would_change_nothing_is_no_corruption(self, subject: Subject, tmp_path: Path) -> None:
        package = subject.packages["fp32"]
        (corruption,) = draw(package, "epsilon made 1e-3", 1, SEED)
        once = corruption.make(package, tmp_path / "once.mlpackage")
        assert once is not None
        assert corruption.make(once, tmp_path / "twice.mlpackage") is None
        assert replace(corruption, place="nowhere").make(package, tmp_path / "nowhere.mlpackage") is None

    def test_a_package_that_no_runner_takes_is_told_apart(self, subject: Subject, tmp_path: Path) -> None:
        copy = Corruption("groups of conv", "groups of conv 1 to [3]", SEED).make(
            subject.packages["fp32"], tmp_path / "copy.mlpackage"
        )
        assert copy is not None
        with pytest.raises(ArtifactError, match="conv"):
            MilRunner(copy).run(subject.images[:1])
        assert subject.caught_by_verify(copy, "fp32") == "unreadable"
        assert subject.change(copy) == (np.inf, np.inf)
