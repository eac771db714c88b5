"""The residency gate: how much of a Core ML program's estimated cost the Neural Engine takes."""

from collections.abc import Callable
from pathlib import Path

from mobilevit_deploy.apple.attached import OLDEST_IOS_FOR_PLAN
from mobilevit_deploy.apple.compute_plan import plan_package
from mobilevit_deploy.apple.open import HOST, open_place
from mobilevit_deploy.checks.plan import NeuralEngineLimit
from mobilevit_deploy.checks.verdict import Verdict
from mobilevit_deploy.errors import MeasurementError

GATE = "neural engine"


def judge_neural_engine(artifact: Path, limit: NeuralEngineLimit, progress: Callable[[str], None]) -> Verdict:
    """Asks a Mac or an attached iPhone for the compute plan; undecided where there is none to ask."""
    held = f"at least {limit.min_share:.1%} of the cost"
    try:
        place = open_place(limit.device or HOST, progress=progress, oldest_ios=OLDEST_IOS_FOR_PLAN)
        share = plan_package(artifact, "all", place, progress).neural_engine_share
    except MeasurementError as error:
        return Verdict(GATE, "undecided", "", held, error.message)
    if share >= limit.min_share:
        return Verdict(GATE, "passed", f"{share:.1%}", held)
    return Verdict(GATE, "failed", f"{share:.1%}", held, "mvd profile names the operations that left it")
