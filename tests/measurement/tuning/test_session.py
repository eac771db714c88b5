"""Entries of the session: chosen by some runs, judged by others; with times that are given."""

from collections.abc import Sequence
from pathlib import Path

from mobilevit_deploy.measurement.tuning.search import Times
from mobilevit_deploy.measurement.tuning.session import helpful_options
from mobilevit_deploy.measurement.tuning.timing import Here

FASTER, SLOWER = "session.a=1", "session.b=1"


class Given(Here):
    """A machine on which each entry has an effect, that of the last measurement perhaps another."""

    def __init__(self, effects: dict[str, float], last: float | None = None) -> None:
        super().__init__("onnx", 1, ())
        self.effects, self.last, self.asked = effects, last, 0

    def measure_options(self, _paths: Sequence[Path], _seconds: float, options: Sequence[Sequence[str]]) -> Times:
        self.asked += 1
        factors = [self.effects[own[0]] if own else 1.0 for own in options]
        if self.asked == 2 and self.last:
            factors[1] = self.last
        return [[(factor,) * 3] * 6 for factor in factors]


def found(place: Given) -> tuple[str, ...]:
    return helpful_options(place, Path("net.onnx"), (FASTER, SLOWER), 60.0, lambda _stage: None)


def test_what_helps_is_found() -> None:
    assert found(Given({FASTER: 0.9, SLOWER: 1.1})) == (FASTER,)


def test_what_does_not_help_again_is_not_reported() -> None:
    assert found(Given({FASTER: 0.9, SLOWER: 1.1}, last=1.0)) == ()


def test_where_nothing_helps_nothing_is_timed_again() -> None:
    place = Given({FASTER: 1.0, SLOWER: 1.1})
    assert found(place) == ()
    assert place.asked == 1
