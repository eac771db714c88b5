"""What became of every candidate, a line each in a file: written as soon as it is known, so that a search goes on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mobilevit_deploy.errors import MvdError, printable
from mobilevit_deploy.measurement.comparison.ratio import Ratio, paired_ratio
from mobilevit_deploy.measurement.tuning.space import Candidate
from mobilevit_deploy.system.documents import Count, Milliseconds, Name, Note, Number, Sha256
from mobilevit_deploy.system.text_files import read_limited

HINT = "remove it to begin anew, or give --out another folder"
LARGEST_FILE = 64 * 2**20  # bytes; a search of ten minutes writes some 50 kB

Role = Literal["search", "confirm"]
Changes = Annotated[tuple[Name, ...], Field(max_length=200)]
Group = Annotated[tuple[Milliseconds, ...], Field(min_length=1, max_length=1000)]
Groups = Annotated[tuple[Group, ...], Field(min_length=1, max_length=10_000)]


class Line(BaseModel):
    """Base of a line; the file is untrusted, as any that lies in a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Begun(Line):
    """The first line: what the search is of. Another one is not continued."""

    kind: Literal["search"] = "search"
    schema_: Literal[1] = Field(1, alias="schema")
    of: Annotated[dict[Name, Note | Count | None], Field(max_length=50)]


class Made(Line):
    """A candidate's file; ``refused`` says why there is none, or why it may not win."""

    kind: Literal["made"] = "made"
    changes: Changes
    sha256: Sha256 | None = None
    bytes: Count = 0
    points_lost: Number | None = None
    images: Count | None = None
    quantized: Annotated[tuple[Name, ...], Field(max_length=500)] = ()
    refused: Note | None = None


class Timed(Line):
    """Paired times, in ms: of each group of processes, the median of each round.

    ``role`` tells the runs by which a candidate is chosen from those by which the one that was chosen is judged.
    """

    kind: Literal["timed"] = "timed"
    role: Role
    changes: Changes
    sha256: Sha256
    default_ms: Groups
    ms: Groups


_LINES: TypeAdapter[Begun | Made | Timed] = TypeAdapter(Annotated[Begun | Made | Timed, Field(discriminator="kind")])


class Trials:
    """The lines of one search."""

    def __init__(self, path: Path, of: dict[str, Any]) -> None:
        """Begins a search, or goes on with the one that the file has.

        Args:
            path: of the file, whose folder is there.
            of: what the search is of; everything that its figures depend on.

        Raises:
            MvdError: the file is of another search, or damaged.
        """
        self.path = path
        self._made: dict[tuple[str, ...], Made] = {}
        self._timed: list[Timed] = []
        self._ratios: dict[tuple[tuple[str, ...], Role], Ratio | None] = {}  # of what is known now
        if path.is_symlink():
            raise MvdError(f"{path} is a link, and trials are not written to another place", HINT)
        self.continued = path.exists()
        if self.continued:
            self._read(of)
        else:
            self._write(Begun(schema=1, of=of))

    def made(self, candidate: Candidate) -> Made | None:
        """Returns what is known of a candidate's file."""
        return self._made.get(candidate.names)

    def all_made(self) -> Sequence[Made]:
        """Returns what is known of every candidate's file, in order."""
        return tuple(self._made.values())

    def turns(self, candidate: Candidate, role: Role = "search") -> int:
        """Returns how often a candidate was measured."""
        return len(self._lines(candidate.names, role))

    def ratio(self, changes: tuple[str, ...], role: Role = "search") -> Ratio | None:
        """Returns a candidate's times over the default's, of all of its groups; None where there are none."""
        if (changes, role) not in self._ratios:
            default, own = self.groups(changes, role)
            self._ratios[changes, role] = paired_ratio(default, own) if own else None
        return self._ratios[changes, role]

    def groups(self, changes: tuple[str, ...], role: Role = "search") -> tuple[list[Group], list[Group]]:
        """Returns the default's and a candidate's groups."""
        lines = self._lines(changes, role)
        return [group for line in lines for group in line.default_ms], [group for line in lines for group in line.ms]

    def add_made(self, made: Made) -> None:
        """Notes what became of a candidate's export; a file that is another one than before begins anew."""
        self._made[made.changes] = made
        self._ratios.clear()
        self._write(made)

    def add_timed(self, timed: Timed) -> None:
        """Notes a measurement."""
        self._timed.append(timed)
        self._ratios.clear()
        self._write(timed)

    def _lines(self, changes: tuple[str, ...], role: str) -> list[Timed]:
        made = self._made.get(changes)
        digest = made.sha256 if made else None
        return [line for line in self._timed if line.changes == changes and line.role == role and line.sha256 == digest]

    def _write(self, line: Line) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line.model_dump_json(by_alias=True) + "\n")

    def _read(self, of: dict[str, Any]) -> None:
        content = read_limited(self.path, LARGEST_FILE, HINT)
        whole = content[: content.rfind(b"\n") + 1]  # the last line may be cut: the process was killed as it wrote it
        lines = whole.splitlines()
        try:
            begun, *others = [_LINES.validate_json(line) for line in lines]
            if not isinstance(begun, Begun):
                raise ValueError("its first line is not that of a search")
        except (ValidationError, ValueError, RecursionError) as error:
            raise MvdError(f"{self.path} holds no trials of mvd tune", HINT) from error
        different = [name for name in {**of, **begun.of} if of.get(name) != begun.of.get(name)]
        if different:
            name = different[0]
            before, now = (printable(json.dumps(item.get(name)))[:80] for item in (begun.of, of))
            raise MvdError(f"{self.path} is of another search: {printable(name)} {before}, and now {now}", HINT)
        for line in others:
            if isinstance(line, Made):
                self._made[line.changes] = line
            elif isinstance(line, Timed):
                if [len(group) for group in line.default_ms] != [len(group) for group in line.ms]:
                    raise MvdError(f"{self.path} holds times that are no pairs", HINT)
                self._timed.append(line)
        if len(whole) < len(content):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
