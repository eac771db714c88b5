"""What is checked before anything is built: each takes a second, and saves minutes or a silence."""

from dataclasses import dataclass, replace
from pathlib import Path

from mobilevit_deploy.apple.attached import OLDEST_IOS, AttachedDevice, choose, list_devices, with_lock_state
from mobilevit_deploy.apple.signing import choose_team
from mobilevit_deploy.apple.tools import require_tools, xcode_version
from mobilevit_deploy.errors import MeasurementError


@dataclass(frozen=True)
class Ready:
    """An iPhone on which nothing stands in the way.

    Attributes:
        device: the iPhone.
        team: that the app is signed for.
        xcode: its version.
        devicectl: where it lies.
    """

    device: AttachedDevice
    team: str
    xcode: str
    devicectl: Path


def check_device(wanted: str, team: str | None, oldest_ios: tuple[int, int] = OLDEST_IOS) -> Ready:
    """Returns the iPhone to measure on.

    Args:
        wanted: its name, UDID, ``devicectl``'s identifier, or the name of its profile.
        team: the signing team; None for that of the environment or the settings.
        oldest_ios: that what is to be done needs.

    Raises:
        MeasurementError: Xcode, the iPhone, its Developer Mode or the team is missing, or it is locked or out of reach.
        UsageError: the team's ID is none.
    """
    program = require_tools()
    device = choose(list_devices(), wanted)
    if device.paired and device.reachable and device.developer_mode != "disabled":
        device = with_lock_state(device)
    refuse(device, oldest_ios)
    chosen_team = choose_team(team)
    return Ready(replace(device, tunnel="connected"), chosen_team, xcode_version(), program)


def refuse(device: AttachedDevice, oldest_ios: tuple[int, int] = OLDEST_IOS) -> None:
    """Raises MeasurementError with the first obstacle of a device, if it has one."""
    for obstacle in device.obstacles(oldest_ios):
        raise MeasurementError(f"{device.name} ({device.model}): {obstacle.message}", obstacle.hint)
