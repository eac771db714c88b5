"""Which cores a measurement runs on."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.measurement.latency.stability import allowed_cores

AUTO, NONE = "auto", "none"
WATCH_S = 0.3  # long enough to tell a busy core from an idle one, with ticks of 10 ms
# Cores as fast as the fastest: within 10 %, for turbo limits differ a little even between equal cores.
AS_FAST = 0.9


def choose_cores(pin: str, threads: int) -> tuple[int, ...]:
    """Returns the cores to run on; empty for leaving it to the operating system.

    ``auto`` takes one core per thread: of the fastest kind, no two that share one physical core where there are enough
    others, and of these the least busy ones. It pins nothing where the threads need every core anyhow, and where the
    operating system cannot (macOS).

    Args:
        pin: ``auto``, ``none``, or core numbers such as ``0,2`` or ``0-3``.
        threads: of one run.

    Raises:
        UsageError: not a list of cores, or cores that this process may not use.
    """
    if pin == NONE:
        return ()
    allowed = allowed_cores()
    if pin != AUTO:
        return _parse(pin, allowed)
    if not hasattr(os, "sched_setaffinity") or threads >= len(allowed):
        return ()
    percents = psutil.cpu_percent(interval=WATCH_S, percpu=True)
    busy = {core: percents[core] if core < len(percents) else 0.0 for core in allowed}
    return rank_cores(busy, _speeds(allowed), {core: _siblings(core) for core in allowed})[:threads]


def rank_cores(
    busy: Mapping[int, float], speeds: Mapping[int, float], siblings: Mapping[int, frozenset[int]]
) -> tuple[int, ...]:
    """Returns the cores, the best to measure on first.

    Args:
        busy: percent of each core's time in use.
        speeds: highest frequency of each; equal where the system does not tell.
        siblings: cores that share the physical core with each, itself included.
    """
    fastest = max(speeds.values(), default=0.0)

    def cost(core: int) -> tuple[bool, float, int]:
        together = max(busy.get(sibling, 0.0) for sibling in {core, *siblings[core]})  # a busy sibling slows it too
        return speeds[core] < AS_FAST * fastest, together, core

    best: list[int] = []
    rest: list[int] = []  # slower cores, and those whose physical core is taken
    taken: set[int] = set()
    for core in sorted(busy, key=cost):
        (rest if core in taken or speeds[core] < AS_FAST * fastest else best).append(core)
        taken |= siblings[core]
    return (*best, *rest)


def _parse(pin: str, allowed: Sequence[int]) -> tuple[int, ...]:
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError("this operating system does not let a program choose its cores", "leave --pin out")
    if not re.fullmatch(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*", pin):
        raise UsageError(f"--pin takes {AUTO}, {NONE} or core numbers, not {pin!r}", "such as --pin 0,2 or --pin 0-3")
    chosen: set[int] = set()
    for part in pin.split(","):
        first, _, last = part.partition("-")
        chosen |= set(range(int(first), int(last or first) + 1))
    missing = sorted(chosen - set(allowed))
    if missing or not chosen:
        raise UsageError(
            f"--pin {pin}: this process may not use core {', '.join(map(str, missing)) or pin}",
            f"it may use {', '.join(map(str, allowed))}",
        )
    return tuple(sorted(chosen))


def _speeds(cores: Sequence[int]) -> dict[int, float]:
    """Returns each core's highest frequency, in kHz, or 1 for all where Linux does not tell."""
    try:
        folder = Path("/sys/devices/system/cpu")
        return {core: float((folder / f"cpu{core}/cpufreq/cpuinfo_max_freq").read_text()) for core in cores}
    except (OSError, ValueError):
        return dict.fromkeys(cores, 1.0)


def _siblings(core: int) -> frozenset[int]:
    """Returns the logical cores of one physical core, the given one included."""
    try:
        text = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text().strip()
        found = {core}
        for part in text.split(","):
            first, _, last = part.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
        return frozenset(found)
    except (OSError, ValueError):
        return frozenset({core})
