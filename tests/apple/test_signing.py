"""The signing team: three places in order, and nothing that a shell could take apart."""

import json
from pathlib import Path

import pytest

from mobilevit_deploy.apple.signing import bundle_identifier, choose_team
from mobilevit_deploy.errors import MeasurementError, UsageError


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MVD_TEAM", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "mvd" / "config.toml"
    file.parent.mkdir()
    return file


def test_option_then_environment_then_file(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.write_text('team = "FILE567890"')
    assert choose_team(None) == "FILE567890"
    monkeypatch.setenv("MVD_TEAM", "ENVIRON890")
    assert choose_team(None) == "ENVIRON890"
    assert choose_team("OPTION7890") == "OPTION7890"
    assert bundle_identifier("OPTION7890") == "com.mvd.modelrunner.option7890"


def test_no_team_says_where_to_give_one(settings: Path) -> None:
    with pytest.raises(MeasurementError, match="no signing team") as caught:
        choose_team(None)
    assert caught.value.hint is not None
    assert all(word in caught.value.hint for word in ("--team", "MVD_TEAM", str(settings)))


@pytest.mark.parametrize("team", ["A1B2C3D4E", "a1b2c3d4e5", "A1B2; rm -", "A1B2C3D4E5\n"])
def test_what_is_no_team_never_reaches_a_shell(settings: Path, monkeypatch: pytest.MonkeyPatch, team: str) -> None:
    """And the message names the place where it stands, which is the user's environment but for the option."""
    with pytest.raises(UsageError, match=r"--team has .* ten capital letters"):
        choose_team(team)
    settings.write_text(f"team = {json.dumps(team)}")
    with pytest.raises(MeasurementError, match=r"config\.toml has .* ten capital letters"):
        choose_team(None)
    monkeypatch.setenv("MVD_TEAM", team)
    with pytest.raises(MeasurementError, match=r"MVD_TEAM has .* ten capital letters"):
        choose_team(None)


@pytest.mark.parametrize("text", ["team = [", "team = 7", 'taem = "A1B2C3D4E5"'])
def test_a_damaged_file_is_an_error(settings: Path, text: str) -> None:
    settings.write_text(text)
    with pytest.raises(MeasurementError, match=r"config\.toml") as caught:
        choose_team(None)
    assert "team = " in str(caught.value.hint)
