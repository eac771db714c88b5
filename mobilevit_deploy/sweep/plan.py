"""The TOML file of ``mvd sweep``: what it says."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from mobilevit_deploy.catalog.cards import ComputeUnits, Delegate
from mobilevit_deploy.checks.plan import Limits, Part, read_toml

PAGE = "docs/how-to/sweep.md"

Text = Annotated[str, Field(min_length=1, max_length=250)]
Texts = Annotated[tuple[Text, ...], Field(max_length=1000)]
Resource = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]  # as Dask's workers offer it
Amount = Annotated[float, Field(gt=0, le=1e6)]


class ModelEntry(Part):
    """A model with checkpoints and options of its own.

    Attributes:
        model: a name, ``net.py:build``, or a library's, such as ``timm:NAME``.
        checkpoints: patterns of its files, in place of the matrix's.
        options: of a check, by their names, such as ``num_classes``.
    """

    model: Text
    checkpoints: Texts | None = None
    options: Mapping[str, Any] = {}


class Matrix(Part):
    """What is combined: a cell for each model with each checkpoint, target, precision, size and device.

    Attributes:
        models: names, ``net.py:build``, ``timm:NAME``, or tables with checkpoints and options of their own.
        checkpoints: patterns of files beside the sweep's, such as ``runs/*/best.pth``; without them weights are random.
        targets: such as ``onnx``.
        precisions: such as ``fp32``; each recipe's own where they are left out.
        sizes: such as ``64`` or ``"256x192"``; the model's own where they are left out.
        devices: that latency is measured on, by their profiles; ``host`` is the machine that runs the cell.
    """

    models: Annotated[tuple[Text | ModelEntry, ...], Field(min_length=1, max_length=1000)]
    targets: Annotated[Texts, Field(min_length=1)]
    checkpoints: Texts = ()
    precisions: Texts = ()
    sizes: Texts = ()
    devices: Texts = ()

    @field_validator("sizes", mode="before")
    @classmethod
    def _numbers_are_sizes(cls, value: object) -> object:
        return [str(size) if isinstance(size, int) else size for size in value] if isinstance(value, list) else value


class Match(Part):
    """Values that a cell must have, all of them; each is a text, a pattern such as ``lightvit_*``, or a list of these.

    Attributes:
        model: of the cell.
        checkpoint: as it was found, beside the sweep's file.
        target: of the cell.
        precision: as the matrix names it.
        size: likewise.
        device: likewise.
    """

    model: Text | Texts = ()
    checkpoint: Text | Texts = ()
    target: Text | Texts = ()
    precision: Text | Texts = ()
    size: int | Text | Texts = ()
    device: Text | Texts = ()

    def fits(self, values: Mapping[str, str | None]) -> bool:
        """Tells whether a cell has all the values."""
        asked = {name: getattr(self, name) for name in Match.model_fields}
        patterns = {name: (str(value),) if isinstance(value, str | int) else value for name, value in asked.items()}
        return all(
            any(fnmatchcase(values[name] or "", pattern) for pattern in wanted)
            for name, wanted in patterns.items()
            if wanted
        )


class Adjustment(Match):
    """What is other for the cells that have these values, which are those of ``[[exclude]]``.

    Attributes:
        model: of the cell.
        checkpoint: likewise.
        target: likewise.
        precision: likewise.
        size: likewise.
        device: likewise.
        limits: in place of those of the same name.
        options: likewise.
        needs: likewise.
    """

    limits: Limits = Limits()
    options: Mapping[str, Any] = {}
    needs: Mapping[Resource, Amount] = {}


class LatencyRule(Part):
    """How latency is measured; it is where this table is given, and where the matrix has devices.

    Attributes:
        threads: of one run.
        seconds: time limit of a measurement.
        delegate: that an Android phone gives the graph to.
        compute_units: that Core ML may use.
    """

    threads: int = Field(default=1, ge=1)
    seconds: float = Field(default=20.0, gt=0, le=3600)
    delegate: Delegate = "cpu"
    compute_units: ComputeUnits = "all"


class SweepFile(Part):
    """The whole file.

    Attributes:
        name: of the sweep; the file's own where it is left out.
        matrix: what is combined.
        exclude: cells that are left out.
        options: of every cell, as a check has them, such as ``batch``.
        limits: that every cell is held to, as in ``mvd check``.
        adjust: what is other for some cells.
        latency: how it is measured.
        needs: what the worker must have beside what a cell needs by itself, on a cluster.
        retries: how often a cell is begun again that died, took too long or found no room.
        time_limit: of a cell, in seconds.
    """

    name: Annotated[str | None, Field(max_length=100, pattern=r"^[\w. -]+$")] = None
    matrix: Matrix
    exclude: Annotated[tuple[Match, ...], Field(max_length=1000)] = ()
    options: Mapping[str, Any] = {}
    limits: Limits = Limits()
    adjust: Annotated[tuple[Adjustment, ...], Field(max_length=1000)] = ()
    latency: LatencyRule | None = None
    needs: Mapping[Resource, Amount] = {}
    retries: int = Field(default=2, ge=0, le=100)
    time_limit: float = Field(default=3600.0, gt=0, le=30 * 86_400)


def read_sweep(path: Path) -> SweepFile:
    """Reads a file; raises CatalogError where it cannot be read, or says something else."""
    return read_toml(path, SweepFile, PAGE)
