"""What a recipe leaves open for ``mvd tune``, and what a recipe that it wrote was measured with."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from mobilevit_deploy.catalog.cards import Card


class OpenChoices(Card):
    """What ``mvd tune`` tries beside what the recipe says; a target that gives none is tuned by precision alone.

    Attributes:
        leave_out: rewrites of the recipe without which a file is right as well.
        add: rewrites that the recipe does not apply.
        session: entries of the runtime's session, ``KEY=VALUE``; no part of the file, so they are recommended.
        reason: why these are open and the others are not.
    """

    leave_out: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    session: tuple[str, ...] = ()
    reason: str


class Evidence(Card):
    """Why ``mvd tune`` wrote a recipe: what was measured, where, and how sure it is.

    The figures are of the recipe with ``changes``, and of paired runs, in turns, of its file and the default recipe's.
    Where it is the faster one beyond the interval, none of these runs had a part in choosing it, and the recipe has the
    changes; else the recipe is the default one, and the figures are of the fastest other one. They hold for this
    machine and these threads.

    Attributes:
        result: whether the recipe is the default one, or was found to be faster.
        changes: what is other than in the default one, as ``mvd tune`` names it; none where nothing was timed.
        model: that it was measured with.
        machine: the processor, or the phone.
        features: of the processor, where the system tells them.
        backend: that ran the files.
        threads: of one run.
        ratio: of its median to that of the default recipe's file.
        ratio_ci95: 95 % interval of it.
        groups: of processes that were measured; each counts once.
        p50_ms: of its file; what else the machine did is in it, and not in the ratio, which is of pairs.
        default_p50_ms: of the default recipe's.
        bytes: of its file.
        default_bytes: of the default recipe's.
        points_lost: of accuracy on the user's images against PyTorch, in points; none without images.
        images: how many.
        session: entries of the runtime's session that were found to help beside it, ``KEY=VALUE``.
        seed: of the search.
        date: on which it ended, year, month, day.
        versions: of mvd, the converter and the runtime.
    """

    result: Literal["default", "tuned"]
    changes: tuple[str, ...]
    model: str
    machine: str
    features: tuple[str, ...] = ()
    backend: str
    threads: int = Field(ge=1)
    ratio: float | None = None
    ratio_ci95: tuple[float, float] | None = None
    groups: int
    p50_ms: float | None = None
    default_p50_ms: float | None = None
    bytes: int
    default_bytes: int
    points_lost: float | None = None
    images: int | None = None
    session: tuple[str, ...] = ()
    seed: int
    date: str
    versions: Mapping[str, str] = {}
