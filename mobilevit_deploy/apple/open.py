"""Which of Apple's devices is to run Core ML: this Mac, or an attached iPhone."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mobilevit_deploy.apple.app import RunnerApp
from mobilevit_deploy.apple.attached import OLDEST_IOS
from mobilevit_deploy.apple.packages import SUFFIX, open_package
from mobilevit_deploy.apple.place import Place, ThisMac, require_mac
from mobilevit_deploy.apple.preflight import check_device
from mobilevit_deploy.apple.signing import find_team
from mobilevit_deploy.errors import UsageError

HOST = "host"


def named_packages(names: Sequence[str]) -> list[Path]:
    """Returns the names that are of files, and not of models."""
    return [Path(name) for name in names if Path(name).suffix == SUFFIX or Path(name).exists()]


def open_place(
    device: str,
    team: str | None = None,
    load_limit_s: float | None = None,
    progress: Callable[[str], None] = lambda _stage: None,
    oldest_ios: tuple[int, int] = OLDEST_IOS,
    packages: Sequence[Path] = (),
) -> Place:
    """Returns where Core ML is to run, checked as far as it can be without building anything.

    Args:
        device: name, UDID or profile of an attached iPhone; ``host`` for this Mac.
        team: that signs the app; None for ``MVD_TEAM`` or the configuration file.
        load_limit_s: how long a load may take; None for two minutes.
        progress: is told each stage.
        oldest_ios: that what is wanted needs.
        packages: that are to run there, as far as they are known.

    Raises:
        ArtifactError: a package is damaged.
        MeasurementError: no package, Core ML does not run here, or something stands in the way on the iPhone.
        UsageError: the team is no ID of a team, or the device has no name.
    """
    if not device.strip():
        raise UsageError("--device names no device", "mvd devices shows what is attached")
    if team or device != HOST:
        find_team(team)  # what can be told without a device is told first
    for path in packages:
        open_package(path)
    if device == HOST:
        require_mac()
        return ThisMac()
    progress(f"looking for {device}")
    ready = check_device(device, team, oldest_ios)
    return RunnerApp(ready, load_limit_s, progress)
