"""Finding the optimisers that make a file wrong."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.verification.optimizers import find_optimizers

NAMES = [f"Fusion{i}" for i in range(60)]


@given(st.sets(st.sampled_from(NAMES), min_size=1, max_size=4))
def test_any_culprits_are_found_and_nobody_else(culprits: set[str]) -> None:
    assert set(find_optimizers(NAMES, lambda off: culprits <= set(off))) == culprits


def test_one_culprit_takes_few_runs() -> None:
    asked: list[Sequence[str]] = []

    def passes(off: Sequence[str]) -> bool:
        asked.append(off)
        return "Fusion37" in off

    assert find_optimizers(NAMES, passes) == ("Fusion37",)
    assert len(asked) <= 13


def test_either_of_two_is_enough() -> None:
    """Two optimisers of which the second runs on what the first made: without the first there is nothing wrong."""
    assert find_optimizers(NAMES, lambda off: "Fusion3" in off or "Fusion50" in off) == ("Fusion3",)


def test_a_file_that_is_wrong_without_them_too_has_no_culprit() -> None:
    assert find_optimizers(NAMES, lambda _off: False) == ()
    assert find_optimizers([], lambda _off: True) == ()
