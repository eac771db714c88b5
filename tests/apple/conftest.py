"""The stand-in for Apple's tools, ready for a test: what goes wrong, what was called, and what is left over."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from mobilevit_deploy.graph.module_notes import KEY, write_notes
from tests.targets.coreml.mil.packages import build, normal, save

ROOT = Path(__file__).parents[2]
BIN = ROOT / "tests" / "support" / "apple_tools" / "bin"
TEAM = "A1B2C3D4E5"
NAME = "Anna's iPhone"
UDID = "00008110-000A1B2C3D4E5F60"
IDENTIFIER = "5A0B6C6E-4D1B-5B8B-9C5E-0123456789AB"


@dataclass(frozen=True)
class Done:
    """A command line that has ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Server:
    """``python -m tests.support.apple_tools``, one for all tests of a process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.support.apple_tools"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        )
        assert self._line() == "ready"

    def start(self, request: dict[str, Any]) -> int:
        """Starts a command line; returns the id of its process."""
        self._send(request)
        return int(json.loads(self._line())["pid"])

    def warm(self, *arguments: object) -> None:
        """Runs a command line in the server itself, for what later ones need."""
        self._send({"warm": [str(argument) for argument in arguments]})
        self._line()

    def wait(self) -> int:
        """Returns the exit code."""
        return int(json.loads(self._line())["code"])

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait(timeout=60)

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@dataclass
class StandIn:
    """One test's Mac and iPhone.

    Attributes:
        folder: for everything.
        server: that runs ``mvd``.
        environment: of ``mvd``.
        times: that artifacts are given on this machine, see ``given_times``; None for those that are measured.
    """

    folder: Path
    server: Server | None
    environment: dict[str, str] = field(default_factory=dict)
    times: dict[str, float] | None = None

    def __post_init__(self) -> None:
        for name in ("state", "temporary", "work", "home"):
            (self.folder / name).mkdir()
        self.environment = {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": str(self.folder / "home"),
            "STAND_IN": str(self.folder / "state"),
            "STAND_IN_PYTHON": sys.executable,
            "TMPDIR": str(self.folder / "temporary"),
            "MVD_CACHE": str(self.folder / "cache"),
            "MVD_TEAM": TEAM,
            "OMP_NUM_THREADS": "1",
        }

    def set(self, *modes: str) -> None:
        """Makes something go wrong from now on, and the log empty."""
        (self.folder / "state" / "modes").write_text(" ".join(modes))
        (self.folder / "state" / "calls.jsonl").unlink(missing_ok=True)

    def calls(self, *begin: str) -> list[list[str]]:
        """Returns the calls of Apple's tools that begin so, in order."""
        log = self.folder / "state" / "calls.jsonl"
        found = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [call for call in found if call[: len(begin)] == list(begin)]

    def looks(self) -> int:
        """Returns how often an answer was looked for after the last message to the app."""
        copies = [call[3] for call in self.calls("devicectl", "device", "copy")]
        return len(copies) - max((i + 1 for i, way in enumerate(copies) if way == "to"), default=0)

    def state(self, name: str) -> Any:
        path = self.folder / "state" / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def start(self, *arguments: object) -> int:
        assert self.server is not None
        return self.server.start(
            {
                "arguments": [str(argument) for argument in arguments],
                "environment": self.environment,
                "folder": str(self.folder / "work"),
                "out": str(self.folder / "out"),
                "err": str(self.folder / "err"),
                "times": self.times,
            }
        )

    def run(self, *arguments: object) -> Done:
        """Runs ``mvd`` to its end."""
        begin = time.monotonic()
        self.start(*arguments)
        return self.wait(begin)

    def wait(self, begin: float) -> Done:
        assert self.server is not None
        code = self.server.wait()
        out, err = ((self.folder / name).read_text() for name in ("out", "err"))
        return Done(code, out, err, time.monotonic() - begin)

    def measure(self, package: Path, *arguments: object) -> Done:
        """Runs ``mvd latency`` on the iPhone for as short as it can be."""
        given = ("--backend", "coreml", "--device", NAME, "--seconds", 0.1, *arguments)
        return self.run("latency", package, *given)

    def leftovers(self) -> list[str]:
        """Returns what is left: temporary files, and processes of Apple's tools in this test's folder."""
        files = [str(path) for path in (self.folder / "temporary").iterdir()]
        processes = [
            " ".join(process.info["cmdline"] or [])
            for process in psutil.process_iter(["cmdline", "environ"])
            if (process.info["environ"] or {}).get("STAND_IN") == self.environment["STAND_IN"]
        ]
        return files + processes


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def mac(server: Server, tmp_path: Path) -> StandIn:
    """A Mac with Xcode, and an iPhone on its cable."""
    return StandIn(tmp_path, server)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The same for what needs no more than the tools: ``mvd`` runs in the test's own process."""
    stand_in = StandIn(tmp_path, None)
    for name, value in stand_in.environment.items():
        if name != "TMPDIR":
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return stand_in


def body(x: Any) -> Any:
    from coremltools.converters.mil.mil import Builder

    y = Builder.conv(x=x, weight=normal(4, 3, 1, 1), name="conv2d")
    y = Builder.gather(x=y, indices=[2, 0], axis=1, name="index")
    return Builder.reduce_mean(x=y, axes=[2, 3], keep_dims=False, name="logits")


def tiny_package(folder: Path, **options: Any) -> Path:
    """Makes a package with a gather, which leaves the Neural Engine."""
    model = build(body, (1, 3, 8, 8), 16, "fp16", **options)
    notes = [("conv2d", "stem.conv"), ("index", "stages.0.attention"), ("logits", "")]
    model.user_defined_metadata[KEY] = write_notes(notes)
    return save(model, folder)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_package(tmp_path_factory.mktemp("package"))


Mvd = Callable[..., Any]
