"""The gate of latency on an attached Android phone: the p50, with its interval, against a limit in milliseconds."""

from collections.abc import Callable
from pathlib import Path

from mobilevit_deploy.checks.plan import AndroidLimit
from mobilevit_deploy.checks.verdict import Verdict
from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.android.attached import open_phone
from mobilevit_deploy.measurement.latency.android import AndroidRequest, measure_android

GATE = "android"


def judge_android(artifact: Path, limit: AndroidLimit, progress: Callable[[str], None]) -> Verdict:
    """Measures on a phone; undecided where there is none, it does not hold still, or the interval holds the limit."""
    held = f"p50 at most {limit.max_ms:g} ms"
    request = AndroidRequest([artifact], limit.tool, limit.threads, limit.delegate, limit.seconds)
    try:
        phone = open_phone(limit.device)
        (report,) = measure_android(request, phone, progress)
    except MeasurementError as error:
        return Verdict(GATE, "undecided", "", held, error.message)
    low, high = report.statistics.ci95_ms
    found = f"{report.statistics.p50_ms:.2f} ms ({low:.2f} to {high:.2f}) on {phone.model}, {limit.delegate}"
    if report.warnings:
        return Verdict(GATE, "undecided", found, held, report.warnings[0])
    if low <= limit.max_ms < high:
        return Verdict(GATE, "undecided", found, held, "the interval holds the limit: give more seconds")
    return Verdict(GATE, "passed" if high <= limit.max_ms else "failed", found, held)
