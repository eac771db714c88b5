"""A picture between a terminal's lines: what is written, put together again, is the file. No terminal was looked at."""

import base64
import io
import re
from pathlib import Path

import pytest

from mobilevit_deploy.cli import inline_image

PICTURE = bytes(range(256)) * 40


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("KITTY_WINDOW_ID", "TERM", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "a.png").write_bytes(PICTURE)
    return tmp_path / "a.png"


def shown(picture: Path, monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, **environment: str) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", stream)
    inline_image.show(picture)
    return stream.getvalue()


@pytest.mark.parametrize("environment", [{"TERM": "xterm-kitty"}, {"TERM": "xterm-ghostty"}, {"KITTY_WINDOW_ID": "1"}])
def test_kittys_protocol(picture: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    written = shown(picture, monkeypatch, Terminal(), **environment)
    chunks = re.findall("\033_G([^;]*);([^\033]*)\033\\\\", written)
    assert len(chunks) > 1
    assert all(len(data) <= 4096 and len(data) % 4 == 0 for _, data in chunks)  # as the protocol asks
    assert [control.rpartition("m=")[2] for control, _ in chunks] == ["1"] * (len(chunks) - 1) + ["0"]
    assert chunks[0][0].startswith("a=T,f=100")
    assert base64.b64decode("".join(data for _, data in chunks)) == PICTURE


@pytest.mark.parametrize("program", ["iTerm.app", "WezTerm"])
def test_iterms_protocol(picture: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    written = shown(picture, monkeypatch, Terminal(), TERM_PROGRAM=program)
    (data,) = re.findall("\033]1337;File=inline=1;[^:]*:([^\a]*)\a", written)
    assert base64.b64decode(data) == PICTURE


def test_other_terminals_and_pipes_get_nothing(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(picture, monkeypatch, Terminal()) == ""
    assert shown(picture, monkeypatch, io.StringIO(), TERM="xterm-kitty") == ""
