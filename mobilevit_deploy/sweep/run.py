"""From a sweep's file to its cells, made, judged and stored, and to ``sweep.json``, which says what became of each."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mobilevit_deploy.catalog.formats import tool_versions
from mobilevit_deploy.errors import OutputError, UsageError
from mobilevit_deploy.export.side_by_side import possible_jobs
from mobilevit_deploy.report.matrix.record import Cell, Sweep
from mobilevit_deploy.sweep import attempt
from mobilevit_deploy.sweep.attempt import Outcome, Task
from mobilevit_deploy.sweep.cells import PlannedCell, cells_of
from mobilevit_deploy.sweep.cluster import Cluster
from mobilevit_deploy.sweep.digest import digests_of
from mobilevit_deploy.sweep.document import sweep_document
from mobilevit_deploy.sweep.engine import LOOK_S, Engine
from mobilevit_deploy.sweep.plan import SweepFile, read_sweep
from mobilevit_deploy.sweep.pool import Pool
from mobilevit_deploy.sweep.store import Store
from mobilevit_deploy.system.documents import BrokenReportError, parse_document
from mobilevit_deploy.system.json_text import dumps

DEFAULT_OUT = "sweep"
SAVE_S = 10.0  # how often sweep.json is written while cells are made


@dataclass(frozen=True)
class SweepRequest:
    """What to sweep, and where.

    Attributes:
        file: the TOML file.
        out: the folder or URL that artifacts and reports go to.
        jobs: how many cells are made at once on this machine; None for as many as cores and memory allow.
        scheduler: the address of a Dask scheduler, whose workers make the cells; None for this machine.
        resume: go on with a sweep that did not end.
        shard: ``(2, 4)`` for the second of four parts; None for all.
        collect: make nothing, and say what there is.
    """

    file: Path
    out: str = DEFAULT_OUT
    jobs: int | None = None
    scheduler: str | None = None
    resume: bool = False
    shard: tuple[int, int] | None = None
    collect: bool = False


@dataclass(frozen=True)
class Moment:
    """A sweep while it runs.

    Attributes:
        total: cells.
        done: cells that are made and judged, those included that had been there.
        failed: cells whose limits are not met, or that could not be made.
        running: where each is made at present, by its id.
        left_s: how long it will take, in seconds; None as long as nobody can tell.
        line: what has just come to pass; empty for nothing.
    """

    total: int
    done: int
    failed: int
    running: Mapping[str, str]
    left_s: float | None
    line: str = ""


Tell = Callable[[Moment], None]


def run_sweep(request: SweepRequest, tell: Tell = lambda _moment: None) -> Sweep:
    """Makes every cell of a sweep that does not exist, and writes ``sweep.json``.

    Args:
        request: what to sweep.
        tell: is told what happens, twice a second.

    Returns:
        What became of each cell. One that could not be made keeps no other from being made.

    Raises:
        CatalogError: the file says something that cannot be.
        UsageError: there is no such part, or nothing opens the URL.
        OutputError: the folder cannot be written, or holds another sweep, or one that did not end.
        MvdError: the cluster cannot be reached, or was lost.
    """
    plan = read_sweep(request.file)
    folder = request.file.parent.resolve()
    cells = _part(cells_of(plan, folder), request.shard)
    store = Store(request.out)
    state = _State(plan.name or request.file.stem, index_name(request.shard), cells, digests_of(cells, folder), store)
    state.check_place(request)
    state.take(store.finished())
    if request.collect:
        state.take(store.failures())
        return state.save(ended=True)
    engine = _engine(request, cells)  # before anything is written, for there may be no such cluster
    with _saved(state), engine:
        state.save()
        state.make(engine, state.tasks(plan, folder), plan.retries, tell)
    sweep = state.save(ended=True)
    with suppress(OutputError):  # a store that lets nothing be removed: what is left does no harm
        store.tidy(frozenset(state.digests.values()))
    return sweep


def read_index(url: str) -> Sweep:
    """Returns what an earlier sweep's ``sweep.json`` says.

    Args:
        url: of its folder.

    Raises:
        UsageError: nothing opens the URL.
        OutputError: there is none, or it is damaged.
    """
    content = Store(url).read(index_name(None))
    if content is None:
        raise OutputError(f"there is no sweep in {url}", "mvd sweep FILE --out FOLDER makes one")
    return _parsed(content, index_name(None), url)


def _parsed(content: bytes, name: str, url: str) -> Sweep:
    try:
        return parse_document(content, Sweep)
    except BrokenReportError as error:
        raise OutputError(f"{name} in {url} cannot be read: {error}", "give another folder") from error


def _part(cells: Sequence[PlannedCell], shard: tuple[int, int] | None) -> Sequence[PlannedCell]:
    if shard is None:
        return cells
    number, parts = shard
    if not 1 <= number <= parts:
        raise UsageError(f"there is no part {number} of {parts}", "give --shard 1/4 to 4/4")
    return cells[number - 1 :: parts]


def index_name(shard: tuple[int, int] | None) -> str:
    """Returns the name of ``sweep.json``; parts of a sweep share a folder."""
    return "sweep.json" if shard is None else f"sweep-{shard[0]}-of-{shard[1]}.json"


def _engine(request: SweepRequest, cells: Sequence[PlannedCell]) -> Engine:
    if request.scheduler:
        return Cluster(request.scheduler)
    weights = [cell.check.checkpoint for cell in cells if cell.check.checkpoint and cell.check.checkpoint.is_file()]
    largest = max((path.stat().st_size for path in weights), default=0)
    return Pool(request.jobs or max(1, possible_jobs(largest)))


@contextmanager
def _saved(state: "_State") -> Iterator[None]:
    """Keeps what there is, however a sweep ends."""
    try:
        yield
    except BaseException:
        with suppress(OutputError):  # the cells say themselves that they exist
            state.save()
        raise


@dataclass
class _State:
    """What is known of each cell."""

    name: str
    index: str
    cells: Sequence[PlannedCell]
    digests: Mapping[str, str]
    store: Store
    records: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by id, of those that are finished
    attempts: Counter[str] = field(default_factory=Counter)

    def check_place(self, request: SweepRequest) -> None:
        """Raises OutputError where the folder is another sweep's, or of one that did not end."""
        content = self.store.read(self.index)
        if content is None:
            return
        try:
            there = _parsed(content, self.index, self.store.url)
        except OutputError as error:
            if request.resume or request.collect:
                return
            raise OutputError(error.message, "--resume writes it anew from the cells that are there") from error
        if there.name != self.name:
            raise OutputError(
                f"{self.store.url} holds the sweep {there.name!r}, and this one is {self.name!r}",
                "give another folder with --out",
            )
        if not there.made and not (request.resume or request.collect):
            raise OutputError(
                f"a sweep in {self.store.url} has not ended",
                "--resume goes on with it, if no other program is at it",
            )

    def take(self, known: Mapping[str, Mapping[str, Any]]) -> None:
        """Takes what the store says of cells, of which nothing is known yet."""
        for cell in self.cells:
            record = known.get(self.digests[cell.id])
            if record is not None and cell.id not in self.records and self._cell(cell, record) is not None:
                self.records[cell.id] = record

    def tasks(self, plan: SweepFile, folder: Path) -> list[Task]:
        """Returns the cells that are to be made."""
        return [
            Task(
                id=cell.id,
                digest=self.digests[cell.id],
                cell={
                    "check": cell.check.model_dump(mode="json"),
                    "latency": cell.latency.model_dump(mode="json") if cell.latency else None,
                    "device": cell.values["device"],
                    "code": str(folder),
                },
                store=self.store.url,
                needs=dict(cell.needs),
                time_limit=plan.time_limit,
                worker=attempt.WORKER,
            )
            for cell in self.cells
            if cell.id not in self.records
        ]

    def make(self, engine: Engine, tasks: Sequence[Task], retries: int, tell: Tell) -> None:
        """Makes cells, each as often as it may be begun."""
        begun, saved, made = time.monotonic(), time.monotonic(), 0
        places: dict[str, list[str]] = {}
        running: Mapping[str, str] = {}
        looked = 0.0
        for task in tasks:
            engine.submit(task)

        def say(line: str = "") -> None:
            nonlocal running, looked
            now = time.monotonic()
            if now - looked > LOOK_S:
                running, looked = engine.running(), now
            left = (now - begun) / made * (len(tasks) - made) if made else None
            tell(self.moment({key: place for key, place in running.items() if key not in self.records}, left, line))

        say(engine.waits_for(tasks))
        for item in engine.finished():
            line = ""
            if item is not None:
                task, outcome = item
                self.attempts[task.id] += 1
                where = str(outcome.record.get("worker", ""))
                if outcome.again and self.attempts[task.id] <= retries:
                    places.setdefault(task.id, []).append(where)
                    engine.submit(task, avoid=places[task.id])
                    line = f"{task.id} on {where or 'a worker'}: {outcome.record['reason']}; begun again"
                else:
                    made += 1
                    self._finish(task, outcome)
                    line = f"{task.id}: {self._said(outcome)}"
            say(line)
            if made and time.monotonic() - saved > SAVE_S:
                with suppress(OutputError):  # a disk that is full costs cells, and may have room at the end
                    self.save()
                saved = time.monotonic()

    def moment(self, running: Mapping[str, str], left_s: float | None, line: str) -> Moment:
        """Returns where the sweep stands."""
        statuses = Counter(record["status"] for record in self.records.values())
        return Moment(len(self.cells), statuses["done"], statuses["failed"], running, left_s, line)

    def _finish(self, task: Task, outcome: Outcome) -> None:
        self.records[task.id] = {**outcome.record, "attempts": self.attempts[task.id]}

    def _said(self, outcome: Outcome) -> str:
        if outcome.record["status"] == "done":
            return f"done in {outcome.record.get('seconds', 0):.0f} s"
        return f"failed: {outcome.record.get('reason', '')}"

    def save(self, *, ended: bool = False) -> Sweep:
        """Writes ``sweep.json`` and returns what it says."""
        sweep = self.sweep(ended=ended)
        self.store.write(self.index, f"{dumps(sweep_document(sweep))}\n".encode())
        return sweep

    def sweep(self, *, ended: bool) -> Sweep:
        """Returns every cell as it is known."""
        made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ended else ""
        versions = {name: version for name, version in tool_versions().items() if version}
        cells = [self._cell(cell, self.records.get(cell.id, {"status": "waiting"})) for cell in self.cells]
        return Sweep(name=self.name, made=made, version=versions, cells=[cell for cell in cells if cell is not None])

    def _cell(self, cell: PlannedCell, record: Mapping[str, Any]) -> Cell | None:
        """Returns a cell by its record; None for one that says something else."""
        planned = {
            "id": cell.id,
            "model": cell.check.model,
            "checkpoint": cell.values["checkpoint"],
            "target": cell.check.to,
            "precision": cell.precision,
            "size": "x".join(map(str, cell.check.input_size[-2:])) if cell.check.input_size else None,
            "device": cell.values["device"],
            "digest": self.digests[cell.id],
        }
        known = {key: value for key, value in record.items() if value is not None and key not in planned}
        size = {"size": planned["size"] or record.get("size")}
        try:
            return Cell.model_validate({**planned, **size, **known})
        except ValidationError:
            return None
