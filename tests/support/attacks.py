"""What the hostile tests share: a fork for each input, and what must be true afterwards whatever the input was."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import RESEARCH
from tests.support.forks import Done, Forks

SECONDS = 10.0  # of a processor's time: what a busy machine adds to that is not the input's doing
WAITING_S = 60.0  # what takes longer waits for something that does not come
LARGEST_BYTES = 2 * 2**30
NET = f"{RESEARCH / 'tiny_net.py'}:build"
# That an allocation failed is no check: on a larger machine it would have succeeded.
ALLOCATION_FAILED = re.compile(
    r"MemoryError|bad_alloc|Unable to allocate|not enough memory|can't allocate memory", re.I
)
PLANTED = "from pathlib import Path\nPath({!r}).touch()\ndef build():\n    raise SystemExit\n"


@dataclass
class Place:
    """The folders of one run: the hostile input, the current folder, and where a payload would leave its proof."""

    root: Path
    given: Path = field(init=False)
    here: Path = field(init=False)
    proof: Path = field(init=False)

    def __post_init__(self) -> None:
        self.given, self.here, self.proof = self.root / "given", self.root / "here", self.root / "proof"
        for folder in (self.given, self.here):
            folder.mkdir()
            (folder / "planted.py").write_text(PLANTED.format(str(self.proof)))

    def write(self, name: str, content: bytes | str) -> Path:
        """Writes an input and returns its path."""
        path = self.given / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


def look(folder: Path) -> dict[str, str]:
    """Returns what is in a folder: the kind or the hash of everything by its path."""
    return {str(path.relative_to(folder)): _kind(path) for path in sorted(folder.rglob("*"))}


def _kind(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return "folder" if path.is_dir() else "special"


def digest(place: Place) -> str:
    """Returns what tells one input from another: names and contents, without the test's own paths.

    One that is given to several commands counts once.
    """
    given = {path: kind for path, kind in look(place.given).items() if path != "planted.py"}
    found = [f"{path} {kind.replace(str(place.root), '')}" for path, kind in given.items()]
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def attack(forks: Forks, place: Place, arguments: Sequence[object], prepare: str = "") -> Done:
    """Runs the program on an input and checks that it did nothing but read; what it says is for the caller to check."""
    before = look(place.root)
    log = place.root.with_name(f"{place.root.name}-log-{len(list(place.root.parent.iterdir()))}")
    log.mkdir()
    done = forks.wait(forks.start(arguments, place.here, log, prepare), WAITING_S, 2 * LARGEST_BYTES)
    shown = f"{arguments}\n{done.errors[-3000:]}"
    assert done.code in (0, 1, 2, 3), f"exit {done.code}: {shown}"
    assert done.cpu_seconds <= SECONDS, f"{done.cpu_seconds:.1f} s: {shown}"
    assert done.peak_bytes <= LARGEST_BYTES, f"{done.peak_bytes >> 20} MB: {shown}"
    assert not place.proof.exists(), f"code was executed: {shown}"
    assert done.acts == (), shown
    assert look(place.root) == before, shown
    assert not ALLOCATION_FAILED.search(done.errors), shown
    assert not (left := list((log / "temporary").iterdir())), f"{left}: {shown}"
    assert said(done).replace("\n", "").isprintable(), f"control characters reach the terminal: {said(done)!r}"
    return done


def said(done: Done) -> str:
    """Returns what the user reads, without the traceback that MVD_DEBUG adds."""
    return done.errors.partition("Traceback (most recent call last):")[0]


def refused(forks: Forks, place: Place, arguments: Sequence[object], prepare: str = "") -> Done:
    """Runs the program on an input that it must refuse, and returns what it said."""
    done = attack(forks, place, arguments, prepare)
    assert done.code in (1, 2), f"exit {done.code}: {arguments}\n{done.output[-2000:]}{done.errors[-2000:]}"
    assert len(said(done)) < 5_000, "a message that nobody can read"
    return done


def tenths(content: bytes) -> Iterator[bytes]:
    """Yields a file cut off at every tenth of its length."""
    for i in range(10):
        yield content[: len(content) * i // 10]


def flipped(content: bytes, data: st.DataObject) -> bytes:
    """Returns a file with one to eight bytes changed."""
    places = st.tuples(st.integers(0, len(content) - 1), st.integers(1, 255))
    damaged = bytearray(content)
    for position, change in data.draw(st.lists(places, min_size=1, max_size=8)):
        damaged[position] ^= change
    return bytes(damaged)


# Whether a test of flipped bytes tries all of its examples, or a fifth; the others differ in where a byte is hit.
MANY = pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["few", "many"])


def half(cases: Iterable[object]) -> list[object]:
    """Returns parameters of which every second one is slow: of cases that differ in a place, and not in kind."""
    return [pytest.param(case, marks=pytest.mark.slow) if i % 2 else case for i, case in enumerate(cases)]


def rotated(cases: Iterable[object], commands: Sequence[object]) -> list[object]:
    """Returns parameters of every case with every command, of which all are slow but one for each case, in turns."""
    return [
        pytest.param(case, command, marks=() if i % len(commands) == k else (pytest.mark.slow,))
        for i, case in enumerate(cases)
        for k, command in enumerate(commands)
    ]


def flip(content: bytes, examples: int, many: bool, check: Callable[[bytes], None]) -> None:
    """Calls a function with copies of a file that have one to eight bytes changed."""

    @settings(
        max_examples=examples if many else max(examples // 5, 5),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        check(flipped(content, data))

    run()
