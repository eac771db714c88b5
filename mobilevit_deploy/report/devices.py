"""Device profiles and attached iPhones, as tables for people and documents for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.report.table import make_table

if TYPE_CHECKING:
    from mobilevit_deploy.apple.attached import AttachedDevice
    from mobilevit_deploy.cards import Device
    from mobilevit_deploy.errors import MvdError


def devices_document(
    profiles: Sequence[Device], attached: Sequence[AttachedDevice], problem: MvdError | None
) -> dict[str, Any]:
    """Returns the profiles, the iPhones, and why these cannot be looked for, where they cannot."""
    return {
        "schema": 1,
        "profiles": [profile.model_dump(mode="json") for profile in profiles],
        "attached": [_attached_document(device) for device in attached],
        "problem": None if problem is None else {"message": problem.message, "hint": problem.hint},
    }


def _attached_document(device: AttachedDevice) -> dict[str, Any]:
    obstacles = device.obstacles()
    return {
        **vars(device),
        "profile": device.profile.name if device.profile else None,
        "ready": not obstacles,
        "obstacles": [vars(obstacle) for obstacle in obstacles],
    }


def devices_table(
    profiles: Sequence[Device], attached: Sequence[AttachedDevice], problem: MvdError | None
) -> RenderableType:
    """Returns a table of profiles, one of iPhones, and the next step for each that cannot be measured on."""
    known = make_table("profile", "devices", "chip", "from iOS", "backends", "compute units", "identifiers")
    for profile in profiles:
        known.add_row(
            profile.name,
            profile.title,
            profile.chip or "",
            profile.os_floor or "",
            ", ".join(profile.backends),
            " ".join(profile.compute_units),
            " ".join(profile.identifiers),
        )
    if problem is not None:
        return Group(known, Text(f"attached iPhones: {problem.message}"), Text(problem.hint or "", style="dim"))
    if not attached:
        return Group(known, Text("no iPhone is attached"))
    return Group(known, _attached_table(attached), *_next_steps(attached))


def _attached_table(attached: Sequence[AttachedDevice]) -> RenderableType:
    table = make_table("attached", "model", "system", "connection", "Developer Mode", "locked", "profile", "UDID")
    for device in attached:
        table.add_row(
            device.name,
            f"{device.model} ({device.product_type})",
            device.os,
            f"{device.connection or 'none'}, tunnel {device.tunnel or 'unknown'}",
            device.developer_mode or "unknown",
            {True: "yes", False: "no", None: "unknown"}[device.locked],
            device.profile.name if device.profile else "none",
            device.udid,
        )
    return table


def _next_steps(attached: Sequence[AttachedDevice]) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for device in attached:
        obstacles = device.obstacles()
        if not obstacles:
            lines.append(Text(f'{device.name}: ready; mvd latency MODEL --backend coreml --device "{device.name}"'))
        lines += [Text(f"{device.name}: {obstacle.message}; {obstacle.hint}", style="yellow") for obstacle in obstacles]
    return lines
