"""What Core ML may compute on: our names, coremltools' names, and what it then chooses for an operation."""

from collections.abc import Mapping, Sequence
from typing import Any

from mobilevit_deploy.catalog.cards import ComputeUnits
from mobilevit_deploy.errors import UsageError

COREMLTOOLS: Mapping[ComputeUnits, str] = {
    "all": "ALL",
    "cpu": "CPU_ONLY",
    "cpu+gpu": "CPU_AND_GPU",
    "cpu+ne": "CPU_AND_NE",
}
EACH = "each"
NEURAL_ENGINE = "Neural Engine"


def read_compute_units(given: Sequence[str]) -> tuple[ComputeUnits, ...]:
    """Returns the choices that are to be measured, in the order of ``COREMLTOOLS``; ``each`` is all four.

    Raises:
        UsageError: there is no such choice.
    """
    wanted = set(given or ["all"])
    if unknown := wanted - {*COREMLTOOLS, EACH}:
        raise UsageError(
            f"there are no compute units {sorted(unknown)[0]!r}",
            f"give {', '.join(COREMLTOOLS)}, or {EACH} for all of these in one go",
        )
    return tuple(units for units in COREMLTOOLS if units in wanted or EACH in wanted)


def device_name(device: Any) -> str:
    """Returns the name of a ``coremltools`` compute device: ``CPU``, ``GPU`` or ``Neural Engine``."""
    kind = type(device).__name__
    return {"MLCPUComputeDevice": "CPU", "MLGPUComputeDevice": "GPU", "MLNeuralEngineComputeDevice": NEURAL_ENGINE}.get(
        kind, kind
    )
