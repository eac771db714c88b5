"""What the loop of a timing process answers; that it times real models is seen where these are timed."""

import pytest

from mobilevit_deploy.system import timing_loop


def test_a_counter_that_is_gone_meanwhile_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a thread of the runtime ends between the list of all threads and the look at its counters."""
    counters = iter([{"involuntary_switches": 1.0, "waiting_s": 2.0}, {"involuntary_switches": 4.0}])
    monkeypatch.setattr(timing_loop, "_scheduling", lambda: next(counters))
    found = timing_loop._burst(lambda: None, 0.0, 3)
    assert len(found["samples_ms"]) == 3
    assert found["involuntary_switches"] == 3.0
    assert "waiting_s" not in found
