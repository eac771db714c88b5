"""The gate of latency on an Android phone: just met, just missed, and undecided."""

from typing import Any

import pytest

from mobilevit_deploy.checks.android import judge_android
from mobilevit_deploy.checks.plan import AndroidLimit
from mobilevit_deploy.errors import ArtifactError
from tests.measurement.android.conftest import Phone, cabled, phone

__all__ = ["cabled", "phone"]  # the stand-in for adb, whose phone takes 11.82 to 12.18 ms


def judged(phone: Phone, max_ms: float, **more: Any) -> tuple[str, str]:
    limit = AndroidLimit(max_ms=max_ms, tool=phone.binary, seconds=0.1, **more)
    verdict = judge_android(phone.model, limit, lambda _line: None)
    assert verdict.gate == "android"
    assert verdict.limit == f"p50 at most {max_ms:g} ms"
    return verdict.status, f"{verdict.found} {verdict.reason}"


@pytest.mark.parametrize(("max_ms", "status"), [(12.2, "passed"), (12.05, "undecided"), (11.8, "failed")])
def test_a_limit(phone: Phone, max_ms: float, status: str) -> None:
    found, words = judged(phone, max_ms, device="pixel_8")
    assert found == status
    assert "12.00 ms (11.82 to 12.18) on Pixel 8, cpu" in words
    assert phone.leftovers() == []


@pytest.mark.parametrize(
    ("mode", "words"), [("no_phone", "no Android phone"), ("hot", "thermal status"), ("tool_fails", "does not run")]
)
def test_undecided(phone: Phone, mode: str, words: str) -> None:
    phone.set(mode)
    found, said = judged(phone, 100)
    assert found == "undecided"
    assert words in said


def test_a_damaged_file_is_no_verdict(phone: Phone) -> None:
    phone.model.write_bytes(phone.model.read_bytes()[:900])
    with pytest.raises(ArtifactError, match="is damaged"):
        judged(phone, 100)
