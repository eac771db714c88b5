"""How models, times, sizes and precisions are written in tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mobilevit_deploy.catalog.catalog import is_reconstruction

if TYPE_CHECKING:
    from mobilevit_deploy.export.records import Weights
    from mobilevit_deploy.loading.weights_origin import WeightsOrigin


def with_origin(name: str) -> str:
    """Returns a model's or artifact's name, with a word where it is not its authors' code."""
    return f"{name} (a reconstruction)" if is_reconstruction(Path(name).name) else name


def shorten(names: Sequence[str], count: int = 8) -> str:
    """Returns the first names between commas, and how many more there are."""
    rest = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + rest


def checkpoint_rows(weights: WeightsOrigin | Weights) -> list[tuple[str, str]]:
    """Returns what of a checkpoint was not taken, and what was done to its names, each with a word for it."""
    rows = {"not loaded": weights.not_loaded, "not read": weights.not_read, "names": weights.notes}
    return [(what, shorten(found)) for what, found in rows.items() if found]


def milliseconds(value: float) -> str:
    """Returns a time for people: hundredths, and below a tenth of a millisecond three digits that count."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3g}"


def show_bytes(count: int) -> str:
    """Returns a size for people: kB below a tenth of a MB."""
    return f"{count / 2**20:.1f} MB" if count >= 2**20 / 10 else f"{count / 2**10:.1f} kB"


def share(value: float) -> str:
    """Returns a part of one, as people write a small one: ``4e-4``; also infinity, and what is no number."""
    number, _, power = f"{value:.0e}".partition("e")
    return f"{number}e{int(power)}" if value and power else number


def precision_name(precision: str) -> str:
    """Returns what people call a precision."""
    return "half precision" if precision == "fp16" else precision
