"""Which team Xcode signs the app for, and under which identifier: from the option, the environment, or a file."""

import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

from mobilevit_deploy.errors import MeasurementError, UsageError

VARIABLE = "MVD_TEAM"
LINE = 'it holds one line: team = "A1B2C3D4E5"'
HOW = (
    f'give --team TEAM, or set {VARIABLE}, or write team = "TEAM" into {{file}}; '
    "docs/how-to/iphone.md says where it is found"
)


def config_file() -> Path:
    """Returns where the user's settings lie; the file need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "mvd" / "config.toml"


def choose_team(given: str | None) -> str:
    """Returns the ten characters that Apple knows a team by.

    Raises:
        MeasurementError: there is none, or what the environment or the file names is none.
        UsageError: what the option names is none.
    """
    team = find_team(given)
    if team is None:
        raise MeasurementError(
            "no signing team: an iPhone runs only an app that Xcode has signed for a team",
            HOW.format(file=config_file()),
        )
    return team


def find_team(given: str | None) -> str | None:
    """Returns the team of the option, the environment or the file, the first that names one; raises as the above."""
    readers: dict[str, Callable[[], str | None]] = {
        "--team": lambda: given,
        VARIABLE: lambda: os.environ.get(VARIABLE),
        str(config_file()): _configured,
    }
    for source, read in readers.items():
        if team := read():
            if re.fullmatch(r"[A-Z0-9]{10}", team):  # it is written into a shell command: nothing else is let through
                return team
            error = UsageError if source == "--team" else MeasurementError
            raise error(
                f"{source} has {team!r}, and a team's ID is ten capital letters and digits", "such as A1B2C3D4E5"
            )
    return None


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
        raise MeasurementError(f"cannot read {file}: {error}", LINE) from error
    if unknown := settings.keys() - {"team"}:
        raise MeasurementError(f"{file} has {sorted(unknown)[0]!r}, which is no setting", LINE)
    team = settings.get("team")
    if team is not None and not isinstance(team, str):
        raise MeasurementError(f"team in {file} is no text", LINE)
    return team
