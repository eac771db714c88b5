"""What the hostile tests share: a run for each input, and what must be true afterwards whatever the input was."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import RESEARCH
from tests.support.forks import Command, Done, Forks

SECONDS = 10.0  # of a processor's time: what a busy machine adds to that is not the input's doing
WAITING_S = 60.0  # what takes longer waits for something that does not come
LARGEST_BYTES = 2 * 2**30
NET = f"{RESEARCH / 'tiny_net.py'}:build"
# That an allocation failed is no check: on a larger machine it would have succeeded.
ALLOCATION_FAILED = re.compile(
    r"MemoryError|bad_alloc|Unable to allocate|not enough memory|can't allocate memory", re.I
)
Case = TypeVar("Case")
Other = TypeVar("Other")
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
            folder.mkdir(parents=True)
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


@dataclass
class Attack:
    """One input: how it is called, where it lies, and what was there before the run."""

    case: Any
    place: Place
    command: Command
    before: dict[str, str]


def prepared(folder: Path, case: Any, make: Callable[[Place, Any], Sequence[object]]) -> Attack:
    """Writes an input into a place of its own, and returns the run that it is for."""
    place = Place(folder)
    arguments = make(place, case)
    return Attack(case, place, Command(arguments, place.here), look(place.root))


def attack_all(forks: Forks, attacks: Sequence[Attack], log: Path, prepare: str = "") -> list[Done]:
    """Runs the program on inputs, and checks that it did nothing but read; what it says is for the caller to check."""
    found = forks.run_all([item.command for item in attacks], log, WAITING_S, 2 * LARGEST_BYTES, prepare)
    check_all(check_nothing_but_read, attacks, found)
    return found


def check_all(check: Callable[[Attack, Done], object], attacks: Sequence[Attack], found: Sequence[Done]) -> None:
    """Calls a check for each run; raises what it says of all of which it is not true."""
    failed = []
    for item, done in zip(attacks, found, strict=True):
        try:
            check(item, done)
        except AssertionError as error:
            failed.append(AssertionError(f"{item.case}: {error}"))
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(attacks)} inputs", failed)


def check_nothing_but_read(item: Attack, done: Done) -> None:
    shown = f"{[*map(str, item.command.arguments)]}\n{done.errors[-3000:]}"
    assert done.code in (0, 1, 2, 3), f"exit {done.code}: {shown}"
    assert done.cpu_seconds <= SECONDS, f"{done.cpu_seconds:.1f} s: {shown}"
    assert done.peak_bytes <= LARGEST_BYTES, f"{done.peak_bytes >> 20} MB: {shown}"
    assert not item.place.proof.exists(), f"code was executed: {shown}"
    assert done.acts == (), f"{done.acts}: {shown}"
    assert look(item.place.root) == item.before, f"files were changed: {shown}"
    assert not ALLOCATION_FAILED.search(done.errors), shown
    assert done.left == (), f"{done.left}: {shown}"
    assert said(done).replace("\n", "").isprintable(), f"control characters reach the terminal: {said(done)!r}"


def said(done: Done) -> str:
    """Returns what the user reads, without the traceback that MVD_DEBUG adds."""
    return done.errors.partition("Traceback (most recent call last):")[0]


def check_refused(item: Attack, done: Done) -> None:
    given = [*map(str, item.command.arguments)]
    assert done.code in (1, 2), f"exit {done.code}: {given}\n{done.output[-2000:]}{done.errors[-2000:]}"
    assert len(said(done)) < 5_000, "a message that nobody can read"


def tenths(content: bytes) -> Iterator[bytes]:
    """Yields a file cut off at every tenth of its length."""
    for i in range(10):
        yield content[: len(content) * i // 10]


# Whether a test takes a part of its cases, or the others, which differ in a place or a number and not in kind.
MANY = pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["few", "many"])


def half(cases: Iterable[Case], many: bool) -> list[Case]:
    """Returns every second case; the others, if they are many."""
    return [case for i, case in enumerate(cases) if i % 2 == many]


def rotated(cases: Iterable[Case], commands: Sequence[Other], many: bool) -> list[tuple[Case, Other]]:
    """Returns every case with one command, in turns; with all the others, if they are many."""
    return [
        (case, command)
        for i, case in enumerate(cases)
        for k, command in enumerate(commands)
        if (i % len(commands) == k) != many
    ]


def flipped(content: bytes, examples: int, many: bool) -> list[bytes]:
    """Returns copies of a file with one to eight bytes changed; a fifth of the examples, or all if they are many."""
    found = []

    @settings(
        max_examples=examples if many else max(examples // 5, 5),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(data=st.data())
    def draw(data: st.DataObject) -> None:
        places = st.tuples(st.integers(0, len(content) - 1), st.integers(1, 255))
        damaged = bytearray(content)
        for position, change in data.draw(st.lists(places, min_size=1, max_size=8)):
            damaged[position] ^= change
        found.append(bytes(damaged))

    draw()
    return found
