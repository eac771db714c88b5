"""Which team Xcode signs the app for, and under which identifier: from the option, the environment, or a file."""

import os
import re
import tomllib
from pathlib import Path

from mobilevit_deploy.errors import MeasurementError, UsageError

VARIABLE = "MVD_TEAM"
HOW = (
    f'give --team TEAM, or set {VARIABLE}, or write team = "TEAM" into {{file}}; docs/iphone.md says where it is found'
)


def config_file() -> Path:
    """Returns where the user's settings lie; the file need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "mvd" / "config.toml"


def choose_team(given: str | None) -> str:
    """Returns the ten characters that Apple knows a team by.

    Raises:
        MeasurementError: there is none, or the file cannot be read.
        UsageError: it is no team's ID.
    """
    team = given or os.environ.get(VARIABLE) or _configured()
    if not team:
        raise MeasurementError(
            "no signing team: an iPhone runs only an app that Xcode has signed for a team",
            HOW.format(file=config_file()),
        )
    if not re.fullmatch(r"[A-Z0-9]{10}", team):  # it is written into a shell command, so nothing else is let through
        raise UsageError(
            f"{team!r} is no team ID, which has ten capital letters and digits", "such as --team A1B2C3D4E5"
        )
    return team


def bundle_identifier(team: str) -> str:
    """Returns the app's identifier: Apple registers each one for one team only, so it holds the team's."""
    return f"com.mvd.modelrunner.{team.lower()}"


def _configured() -> str | None:
    file = config_file()
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise MeasurementError(f"cannot read {file}: {error}", 'it holds one line: team = "A1B2C3D4E5"') from error
    team = settings.get("team")
    if team is not None and not isinstance(team, str):
        raise MeasurementError(f"team in {file} is no text", 'write team = "A1B2C3D4E5"')
    return team
