"""What became int8, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.report.layout import ResultTable
from mobilevit_deploy.report.table import show_bytes

if TYPE_CHECKING:
    from mobilevit_deploy.targets.quantization import ModuleCost, QuantizationResult

SHOWN = 12


def quantization_summary(target: str, result: QuantizationResult, size: int) -> RenderableType:
    """Returns what became int8, by which images, and what each module costs if that was measured.

    Args:
        target: of the artifact.
        result: of one artifact.
        size: of the artifact, in bytes.
    """
    source = f"calibrated on {result.images} images of {result.source}"
    style = ""
    if result.structured:
        source = f"calibrated on {result.images} structured samples, for a demo: ranges of real images differ"
        style = "yellow"
    lines: list[RenderableType] = [
        Text(f"{target}: {source}", style=style),
        Text(f"{target}: int8: {_counts(result.quantized)}; left in float32: {_counts(result.left)}"),
        Text(f"{target}: {show_bytes(result.bytes_before)} in float32, {show_bytes(size)} in int8"),
    ]
    if result.sensitivity:
        lines.append(_sensitivity_table(result.sensitivity))
    return Group(*lines)


def _counts(ops: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in ops.items()) or "nothing"


def _sensitivity_table(costs: tuple[ModuleCost, ...]) -> ResultTable:
    numbers = ("nodes", "SNR", "share of the noise")
    table = ResultTable("int8 in this module alone", *numbers, numbers=numbers)
    for cost in costs[:SHOWN]:
        table.add_row(
            cost.module or "the model itself", str(cost.nodes), f"{cost.snr_db:.0f} dB", f"{cost.noise_share:.0%}"
        )
    if rest := costs[SHOWN:]:
        share = sum(cost.noise_share for cost in rest)
        table.add_row(f"{len(rest)} more", str(sum(cost.nodes for cost in rest)), "", f"{share:.0%}")
    return table
