"""The residency gate: how much of a Core ML program's estimated cost the Neural Engine takes."""

from mobilevit_deploy.gates.plan import NeuralEngineLimit
from mobilevit_deploy.gates.verdict import Verdict


def judge_neural_engine(limit: NeuralEngineLimit) -> Verdict:
    """Returns an undecided verdict: only Core ML itself, on a Mac, knows where a program's operations run."""
    held = f"at least {limit.min_share:.0%} of the cost"
    return Verdict("neural engine", "undecided", "", held, "Core ML's compute plan is to be had on a Mac only")
