"""The search, with effects and noise that are known: what wins, what never does, and what ends it."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.measurement.tuning.search import CONFIRM_S, RESERVE
from tests.measurement.tuning.bench import EXPORT_S, Bench


def test_the_fastest_change_wins(tmp_path: Path) -> None:
    bench = Bench({"a": 1.02, "b": 0.93, "c": 1.2, "d": 0.99}, noise=0.01)
    verdict = bench.search(tmp_path)
    assert verdict.faster
    assert verdict.complete
    assert verdict.fastest
    assert "without b" in verdict.fastest.names
    assert not {"without a", "without c"} & set(verdict.fastest.names)
    assert verdict.ratio
    assert verdict.ratio.ci95[0] < bench.true_ratio(verdict.fastest) < verdict.ratio.ci95[1]


def test_changes_that_help_are_tried_together(tmp_path: Path) -> None:
    verdict = Bench({"a": 0.95, "b": 0.9, "c": 1.1}).search(tmp_path)
    assert verdict.fastest
    assert verdict.fastest.names == ("without a", "without b")
    assert verdict.ratio
    assert verdict.ratio.value == pytest.approx(0.855)


def test_the_search_goes_on_from_the_best_precision(tmp_path: Path) -> None:
    verdict = Bench({"int8": 0.5, "w8": 1.1, "a": 0.9}).search(tmp_path, precisions=["int8", "w8"])
    assert verdict.fastest
    assert verdict.fastest.names == ("int8", "without a")


@pytest.mark.parametrize("reason", ["onnx: parity failed", "loses 1.20 points of top-1 on 500 images"])
def test_what_is_refused_never_wins(tmp_path: Path, reason: str) -> None:
    bench = Bench({"a": 0.5, "b": 0.9}, refused={"a": reason})
    verdict = bench.search(tmp_path)
    assert verdict.fastest
    assert verdict.fastest.names == ("without b",)
    assert [made.refused for made in bench.trials.all_made() if made.changes == ("without a",)] == [reason]


def test_where_nothing_helps_the_default_stays(tmp_path: Path) -> None:
    assert not Bench({"a": 1.0, "b": 1.01, "c": 1.3}).search(tmp_path).faster
    (tmp_path / "none").mkdir()
    verdict = Bench({}).search(tmp_path / "none")
    assert verdict.fastest is None
    assert "nothing was timed: no other file" in verdict.conclusion()


def test_the_better_half_is_measured_longer(tmp_path: Path) -> None:
    bench = Bench({name: 1 + 0.001 * number for number, name in enumerate("abcdefgh", -8)}, noise=0.02)
    bench.search(tmp_path)
    turns = sorted(count for candidate, count in bench.turns.items() if len(candidate.changes) == 1)
    assert turns[0] == 1
    assert turns.count(1) >= 4
    assert turns[-1] >= 3


def test_an_interval_ends_a_candidate_at_once(tmp_path: Path) -> None:
    bench = Bench({"a": 1.5, "b": 0.8}, noise=0.01)
    bench.search(tmp_path)
    assert {str(candidate): count for candidate, count in bench.turns.items()}["without a"] == 1


EFFECTS = st.dictionaries(st.sampled_from("abcdef"), st.floats(0.85, 1.15), max_size=6)


@settings(max_examples=25)
@given(EFFECTS, st.sampled_from([0.0, 0.005, 0.03]), st.integers(0, 2**16), st.floats(20, 2000))
def test_the_winner_is_never_worse_than_the_default(
    effects: dict[str, float], noise: float, seed: int, budget_s: float
) -> None:
    """Whatever the effects, the noise and the budget: it is the default, or below 1 with the whole interval."""
    bench = Bench(effects, noise, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        verdict = bench.search(Path(folder), budget_s, seed)
        if verdict.faster:
            assert verdict.fastest
            assert verdict.ratio
            assert verdict.ratio.ci95[1] < 1
            assert bench.trials.turns(verdict.fastest, "confirm") == 1
            assert bench.true_ratio(verdict.fastest) < 1 + 3 * noise / 6**0.5
        elif noise == 0 and verdict.complete:
            assert all(effect >= 1 for effect in effects.values())


def test_an_improvement_smaller_than_the_interval_is_not_reported() -> None:
    """One in forty of changes without effect looks like one that helps: the best of eight does not, when timed anew."""
    reported = 0
    for seed in range(16):
        with tempfile.TemporaryDirectory() as folder:
            reported += Bench(dict.fromkeys("abcdefgh", 1.0), noise=0.02, seed=seed).search(Path(folder)).faster
    assert reported <= 1


@pytest.mark.parametrize("budget_s", [15.0, 60.0, 120.0])
def test_the_budget_ends_it(tmp_path: Path, budget_s: float) -> None:
    bench = Bench(dict.fromkeys("abcdefgh", 0.9), noise=0.01)
    verdict = bench.search(tmp_path, budget_s)
    longest = max(EXPORT_S, 4 * 5 * 3.0)  # one export, or one round, is brought to its end
    assert bench.clock_s <= budget_s + longest + max(CONFIRM_S, RESERVE * budget_s)
    assert not verdict.complete
    assert ("the budget was over" in verdict.conclusion()) == (budget_s == 15.0)
    assert len(bench.made) < 9


def test_the_seed_decides_what_a_short_search_leaves_out(tmp_path: Path) -> None:
    first: set[tuple[str, ...]] = set()
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        bench = Bench(dict.fromkeys("abcdefgh", 0.9))
        bench.search(folder, 40.0, seed)
        first.add(bench.made[1].names)
    assert len(first) > 1


@pytest.mark.parametrize("call", [1, 2, 3, 5])
def test_an_interrupted_search_goes_on(tmp_path: Path, call: int) -> None:
    """What was made and timed is not made and timed again, and the end is that of a search without interruption."""
    effects = {"a": 0.97, "b": 0.9, "c": 1.1, "d": 1.0, "e": 0.99, "f": 1.2}
    (tmp_path / "whole").mkdir()
    whole = Bench(effects, noise=0.01)
    expected = whole.search(tmp_path / "whole")
    bench = Bench(effects, noise=0.01, interrupted_at=call)
    with pytest.raises(KeyboardInterrupt):
        bench.search(tmp_path)
    timed = len((tmp_path / "trials.jsonl").read_text().splitlines())
    bench.interrupted_at = None
    assert bench.search(tmp_path) == expected
    assert bench.turns == whole.turns
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) > timed
    before = (tmp_path / "trials.jsonl").read_text()
    made = len(bench.made)
    assert bench.search(tmp_path) == expected
    assert (tmp_path / "trials.jsonl").read_text() == before  # nothing is left to do
    assert len(bench.made) == made + 1  # the default's file, against which everything is timed


def test_a_candidate_that_cannot_be_made_again_does_not_win(tmp_path: Path) -> None:
    """As where its export failed the second time: what was timed before is of a file that is not there."""
    bench = Bench({"a": 0.9, "b": 1.1}, interrupted_at=3)
    with pytest.raises(KeyboardInterrupt):
        bench.search(tmp_path)
    bench.refused, bench.interrupted_at = {"a": "onnx: parity failed"}, None
    verdict = bench.search(tmp_path)
    assert not verdict.faster
    assert [made.refused for made in bench.trials.all_made() if made.changes == ("without a",)] == [
        "onnx: parity failed"
    ]


def test_progress_names_the_best_so_far(tmp_path: Path) -> None:
    said: list[str] = []
    Bench({"a": 0.9, "b": 1.1}).search(tmp_path, progress=said.append)
    assert any(line.startswith("best so far: without a: 0.900 of the default recipe's time") for line in said)
    assert any(line.startswith("timing without a once more") for line in said)
    said.clear()
    (tmp_path / "none").mkdir()
    Bench({"b": 1.1}).search(tmp_path / "none", progress=said.append)
    assert any(line.startswith("best so far: the default recipe; nearest to it without b: 1.100") for line in said)
