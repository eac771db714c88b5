"""What a sweep leaves behind, ``sweep.json``: written by ``mvd sweep``, read by the page, which does not trust it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mobilevit_deploy.system.documents import Count, Document, Milliseconds, Name, Note, Number, Record, Sha256

MOST_CELLS = 20_000

Status = Literal["done", "failed", "waiting"]
Parity = Literal["passed", "failed"]


class CellAccuracy(Record):
    """Accuracy on labelled images, in [0, 1]: of the artifact, and of PyTorch on the same ones."""

    metric: Name = "top-1"
    artifact: Number
    pytorch: Number
    images: Count


class CellLatency(Record):
    """The median latency in ms with its 95 % interval, and where it was measured."""

    p50: Milliseconds
    low: Milliseconds | None = None
    high: Milliseconds | None = None
    device: Name
    threads: Count | None = None
    stable: bool = True


class Gate(Record):
    """One gate of a cell, as ``mvd check`` tells it: figures as text, and why it failed or could not tell."""

    gate: Name
    status: Literal["passed", "failed", "undecided"]
    found: Note = ""
    limit: Note = ""
    reason: Note = ""


class Cell(Record):
    """One export of a sweep, and what was measured of it.

    Attributes:
        id: names the cell in its sweep, and is its key from one sweep to the next.
        model, checkpoint, target, precision, size, device: the matrix's entries; size as ``224x224``, checkpoint as the
            sweep's file names it.
        status: a cell is done with its parity and limits judged, failed with a reason, or was not begun or not ended.
        reason, hint: why it failed, and the next step.
        digest: of what the cell is made of, by which a later sweep knows that it exists.
        sha256, bytes: of the artifact.
        snr_db: signal to noise of the file beside PyTorch.
        gates: parity, and every limit that it was held to; none where it could not be made.
        seconds: that the last attempt took.
        attempts: how often it was begun.
        worker: that ran it.
        artifact, report, page, log: files of the cell, relative to the sweep's folder.
    """

    id: Name
    model: Name
    checkpoint: Name | None = None
    target: Name
    precision: Name
    size: Name | None = None
    device: Name | None = None
    status: Status
    reason: Note = ""
    hint: Note = ""
    digest: Sha256 | None = None
    sha256: Sha256 | None = None
    bytes: Count | None = None
    parity: Parity | None = None
    snr_db: Number | None = None
    accuracy: CellAccuracy | None = None
    latency: CellLatency | None = None
    gates: Annotated[tuple[Gate, ...], Field(max_length=500)] = ()
    seconds: Number | None = None
    attempts: Count = 0
    worker: Name | None = None
    artifact: Note | None = None
    report: Note | None = None
    page: Note | None = None
    log: Note | None = None


class Sweep(Document):
    """The whole sweep.

    Attributes:
        name: of the sweep, its file's stem unless the file says more.
        made: when it ended, ISO 8601 in UTC.
        version: of the programs that made it, by name.
        cells: in the order of the sweep's file.
    """

    name: Name
    made: Name = ""
    version: dict[Name, Name] = {}
    cells: Annotated[list[Cell], Field(max_length=MOST_CELLS)]
