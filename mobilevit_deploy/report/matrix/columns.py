"""What the list of a sweep says of each cell: a text for people, and a value to sort by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mobilevit_deploy.report.matrix.changes import Change
from mobilevit_deploy.report.matrix.record import Cell, Status
from mobilevit_deploy.report.page.tables import NO_BREAK, Tone
from mobilevit_deploy.report.table import milliseconds, show_bytes

LONGEST_REASON = 300  # characters; the log has it whole
SIGNS: Mapping[Status, str] = {"done": "✓", "failed": "✗", "waiting": "…"}  # so that no status is a colour alone
TONES: Mapping[Status, Tone] = {"done": "good", "failed": "bad", "waiting": "doubt"}
DIRECTIONS: Mapping[str, Tone] = {"better": "good", "worse": "bad", "": ""}


@dataclass(frozen=True)
class Entry:
    """One cell as the page has it.

    Attributes:
        place: in the sweep, from 0.
        cell: its record.
        links: addresses of its files relative to the page, by kind.
        changes: what differs from the baseline.
    """

    place: int
    cell: Cell
    links: Mapping[str, str]
    changes: Sequence[Change]

    @property
    def address(self) -> str:
        """Returns the address of the file that stands for the cell; empty where none is there."""
        return next(iter(self.links.values()), "")

    @property
    def reason(self) -> str:
        """Returns why it failed and the next step, cut where it is too long."""
        text = "; ".join(part for part in (self.cell.reason, self.cell.hint) if part)
        return text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON] + "..."


@dataclass(frozen=True)
class Value:
    """What stands in one place of the list; ``key`` is what a number is sorted by, a text by itself."""

    text: str
    key: float | None = None
    tone: Tone = ""


@dataclass(frozen=True)
class Column:
    """A column; it is left out where no cell has a value.

    Attributes:
        key: in the address of the page.
        title: above it.
        number: whether it is aligned to the right and sorted by value.
        read: what a cell has there.
    """

    key: str
    title: str
    number: bool
    read: Callable[[Cell], Value | None]


def names(cell: Cell) -> str:
    """Returns what tells a cell from the others, in one line."""
    known = (cell.model, cell.checkpoint, cell.target, cell.precision, cell.size, cell.device)
    return ", ".join(name for name in known if name)


def columns(cells: Sequence[Cell]) -> tuple[list[Column], dict[str, str]]:
    """Returns the columns in which cells differ, the model first, and what is the same of all by its title."""
    found, shared = [], {}
    for column in COLUMNS:
        texts = {value.text for cell in cells if (value := column.read(cell))}
        if len(texts) == 1 and len(cells) > 1 and column.key in SAID_ONCE:
            shared[column.title] = texts.pop()
        elif texts:
            found.append(column)
    return found, shared


def percent(share: float) -> str:
    """Returns a share of 1 in percent."""
    return f"{share:.1%}".replace("%", f"{NO_BREAK}%")


def _text(name: str) -> Callable[[Cell], Value | None]:
    def read(cell: Cell) -> Value | None:
        text = getattr(cell, name)
        return Value(text) if text else None

    return read


def _number(value: float | None, text: Callable[[float], str]) -> Value | None:
    return None if value is None else Value(text(value), value)


def _parity(cell: Cell) -> Value | None:
    return Value(cell.parity, tone="good" if cell.parity == "passed" else "bad") if cell.parity else None


def _gates(cell: Cell) -> Value | None:
    """Returns how many gates passed, and the names of the others."""
    if not cell.gates:
        return None
    passed = sum(gate.status == "passed" for gate in cell.gates)
    others = [f"{gate.gate} {gate.status}" for gate in cell.gates if gate.status != "passed"]
    tone: Tone = "bad" if any(gate.status == "failed" for gate in cell.gates) else "doubt" if others else "good"
    return Value(", ".join([f"{passed} of {len(cell.gates)} passed", *others]), tone=tone)


def _accuracy(cell: Cell) -> Value | None:
    return Value(percent(cell.accuracy.artifact), cell.accuracy.artifact) if cell.accuracy else None


def _beside_pytorch(cell: Cell) -> Value | None:
    """Returns points of a hundred that the artifact's accuracy has more than PyTorch's."""
    if cell.accuracy is None:
        return None
    points = 100 * (cell.accuracy.artifact - cell.accuracy.pytorch)
    return Value(f"{points:+.1f}".replace("-", "\N{MINUS SIGN}") if abs(points) >= 0.05 else "0.0", points)


def _metric(cell: Cell) -> Value | None:
    return Value(f"{cell.accuracy.metric}, {cell.accuracy.images} images") if cell.accuracy else None


def _latency(cell: Cell) -> Value | None:
    if cell.latency is None:
        return None
    return Value(milliseconds(cell.latency.p50), cell.latency.p50, "" if cell.latency.stable else "doubt")


def _interval(cell: Cell) -> Value | None:
    if cell.latency is None or cell.latency.low is None or cell.latency.high is None:
        return None
    doubt = "" if cell.latency.stable else "not stable, "
    text = f"{doubt}{milliseconds(cell.latency.low)} to {milliseconds(cell.latency.high)}"
    return Value(text.replace(" ", NO_BREAK), cell.latency.high - cell.latency.low, "doubt" if doubt else "")


def _where(cell: Cell) -> Value | None:
    device = cell.latency.device if cell.latency else cell.device
    return Value(device) if device else None


COLUMNS = (
    Column("model", "model", False, _text("model")),
    Column("checkpoint", "checkpoint", False, _text("checkpoint")),
    Column("target", "target", False, _text("target")),
    Column("precision", "precision", False, _text("precision")),
    Column("input", "input", False, _text("size")),
    Column("status", "status", False, lambda cell: Value(cell.status, tone=TONES[cell.status])),
    Column("latency", "p50 ms", True, _latency),
    Column("interval", "95 % interval", True, _interval),
    Column("accuracy", "accuracy", True, _accuracy),
    Column("points", "to PyTorch", True, _beside_pytorch),
    Column("bytes", "size", True, lambda cell: _number(cell.bytes, lambda value: show_bytes(int(value)))),
    Column("parity", "parity", False, _parity),
    Column("gates", "gates", False, _gates),
    Column("snr", "SNR dB", True, lambda cell: _number(cell.snr_db, lambda value: f"{value:.0f}")),
    Column("device", "measured on", False, _where),
    Column("metric", "accuracy of", False, _metric),
    Column("seconds", "made in s", True, lambda cell: _number(cell.seconds, lambda value: f"{value:.0f}")),
    Column("attempts", "attempts", True, lambda cell: _number(cell.attempts or None, lambda value: f"{value:.0f}")),
    Column("worker", "worker", False, _text("worker")),
)
SAID_ONCE = ("checkpoint", "input", "device", "metric", "attempts", "worker")  # where all cells have the same
