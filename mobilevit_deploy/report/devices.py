"""Device profiles and attached phones, as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.apple.attached import OLDEST_IOS, PLUG_IN
from mobilevit_deploy.report.android import phone_lines
from mobilevit_deploy.report.layout import ResultTable

if TYPE_CHECKING:
    from mobilevit_deploy.apple.attached import AttachedDevice
    from mobilevit_deploy.catalog.cards import Device
    from mobilevit_deploy.errors import MvdError
    from mobilevit_deploy.measurement.android.attached import AttachedPhone

KINDS = ("host", "iphone", "android")


def devices_table(
    profiles: Sequence[Device],
    iphones: tuple[Sequence[AttachedDevice], MvdError | None],
    phones: tuple[Sequence[AttachedPhone], MvdError | None],
) -> RenderableType:
    """Returns the attached phones, each with the next step, and then the profiles.

    Args:
        profiles: of devices.
        iphones: that are attached, or why they cannot be looked for.
        phones: likewise with Android.
    """
    ordered = sorted(profiles, key=lambda profile: KINDS.index(profile.kind))
    return Group(
        *_iphone_lines(*iphones), *phone_lines(*phones), Text(), _profiles_table(ordered), *_what_runs(ordered)
    )


def _iphone_lines(attached: Sequence[AttachedDevice], problem: MvdError | None) -> Iterator[RenderableType]:
    if problem is not None:
        yield Text(f"attached iPhones: {problem.message}")
        yield Text(problem.hint or "", style="dim")
    elif not attached:
        yield Text("no iPhone is attached")
        yield Text(PLUG_IN, style="dim")
    names = [device.name for device in attached]
    for device in attached:
        yield from _attached_lines(device, names.count(device.name) == 1)


def _attached_lines(device: AttachedDevice, unique: bool) -> Iterator[RenderableType]:
    """Yields what is known of one iPhone, and what stands in the way; lines of their own, for a UDID is copied."""
    yield Text(device.name, style="bold")
    facts = {
        "model": f"{device.model} ({device.product_type})",
        "profile": device.profile.name if device.profile else "none",
        "system": device.os,
        "connection": f"{device.connection or 'none'}, tunnel {device.tunnel or 'unknown'}",
        "Developer Mode": device.developer_mode or "unknown",
        "locked": {True: "yes", False: "no", None: "unknown"}[device.locked],
        "UDID": device.udid,
    }
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        yield Text(f"  {name:{width}}{value}")
    obstacles = device.obstacles()
    if not obstacles:
        name = f'"{device.name}"' if unique else device.udid
        yield Text(f"  ready: mvd latency MODEL --backend coreml --device {name}", style="green")
    for obstacle in obstacles:
        yield Text(f"  {obstacle.message}: {obstacle.hint}", style="yellow")
    yield Text()


def _profiles_table(profiles: Sequence[Device]) -> RenderableType:
    table = ResultTable("profile", "devices", "chip", "sold with", "identifiers", whole=("profile", "sold with"))
    for profile in profiles:
        table.add_row(
            profile.name,
            profile.title,
            profile.chip or "",
            f"iOS {profile.os_floor}" if profile.os_floor else "",
            "\n".join(profile.identifiers),
        )
    return table


def _what_runs(profiles: Sequence[Device]) -> Iterator[RenderableType]:
    """Yields a line for the profiles that run the same."""
    alike: dict[tuple[str, str], list[str]] = {}
    for profile in profiles:
        option = "--compute-units" if profile.compute_units else "--delegate"
        key = (" ".join(profile.backends), f"{option} {' '.join(profile.compute_units or profile.delegates)}")
        alike.setdefault(key, []).append(profile.name)
    for (backends, options), names in alike.items():
        who = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        yield Text(f"{who}: --backend {backends}; {options}", style="dim")
    yield Text(f"measuring on an iPhone needs iOS {'.'.join(map(str, OLDEST_IOS))} or later", style="dim")
