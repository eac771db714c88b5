"""What a gate says."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """One gate of one check.

    Attributes:
        gate: such as ``parity``, ``size``, ``ops Transpose``.
        status: ``undecided`` where this machine cannot tell, which is neither a pass nor a failure.
        found: the figure, as text.
        limit: what it was held to, as text.
        reason: why it failed, or is undecided; empty when it passed.
    """

    gate: str
    status: Status
    found: str
    limit: str
    reason: str = ""


def at_most(gate: str, found: int, limit: int, unit: str = "") -> Verdict:
    """Returns whether a count is within its limit."""
    status: Status = "passed" if found <= limit else "failed"
    reason = "" if status == "passed" else f"{found - limit:,}{unit} too many"
    return Verdict(gate, status, f"{found:,}{unit}", f"at most {limit:,}{unit}", reason)
