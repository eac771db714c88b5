"""A sweep's folder: its record, which of the files that it names are there, and what is not as it should be."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mobilevit_deploy.errors import ArtifactError, printable
from mobilevit_deploy.report.matrix.record import Cell, Sweep
from mobilevit_deploy.report.page.folder import Problem
from mobilevit_deploy.report.table import shorten
from mobilevit_deploy.system.documents import BrokenReportError, read_document

FILE = "sweep.json"
LARGEST_FILE = 64 * 2**20  # bytes; a cell has about one kB
LINKS = ("page", "report", "log", "artifact")  # the first that there is stands for the cell
MOST_NAMES = 3  # of cells in one sentence


@dataclass(frozen=True)
class Matrix:
    """A sweep as it lies in a folder.

    Attributes:
        path: the folder.
        sweep: its record.
        links: of each cell, in the record's order: paths of files that are there, relative to the folder, by kind.
        problems: what is not on the page as the record has it.
    """

    path: Path
    sweep: Sweep
    links: Sequence[Mapping[str, str]]
    problems: Sequence[Problem]


def read_sweep(folder: Path) -> Sweep:
    """Reads the record of a sweep.

    Raises:
        ArtifactError: there is no such folder, no sweep in it, or one that cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        where = f"there is no {FILE} in {folder}" if folder.is_dir() else f"{folder} is no folder"
        raise ArtifactError(where, "give the folder that mvd sweep wrote")
    try:
        return _shown(read_document(path, Sweep, LARGEST_FILE))
    except BrokenReportError as error:
        again = "mvd sweep FILE --collect writes it anew from the cells that are there"
        raise ArtifactError(f"{path} is not a sweep that can be read: {error}", again) from error


def _shown(sweep: Sweep) -> Sweep:
    """Returns a sweep whose texts are read in the direction in which they are written, on a page as on a terminal."""
    texts = ("model", "checkpoint", "target", "precision", "size", "device", "reason", "hint", "worker")
    cells = [
        cell.model_copy(update={name: printable(text) for name in texts if (text := getattr(cell, name))})
        for cell in sweep.cells
    ]
    return sweep.model_copy(update={"name": printable(sweep.name), "cells": cells})


def read_matrix(folder: Path) -> Matrix:
    """Reads a sweep, and looks for the files of its cells.

    Raises:
        ArtifactError: there is no such folder, no sweep in it, or one that cannot be read.
    """
    sweep = read_sweep(folder)
    root, links = os.path.realpath(folder), []
    outside: dict[str, None] = {}
    absent: dict[str, None] = {}
    for cell in sweep.cells:
        found = {}
        for kind in LINKS:
            text = getattr(cell, kind)
            if not text:
                continue
            if not _leads_inside(text):
                outside[cell.id] = None
            elif (there := _is_there(root, text)) is None:
                absent[cell.id] = None
            elif there:
                found[kind] = text
            else:
                outside[cell.id] = None
        links.append(found)
    twice = [name for name, count in Counter(cell.id for cell in sweep.cells).items() if count > 1]
    said = (
        (list(outside), "name files that are not in the folder of the sweep, to which there is no link"),
        (list(absent), "name files that are not there"),
        (twice, "are there more than once, and of these the first is compared with the baseline"),
    )
    problems = [
        Problem(FILE, f"{len(names)} of {len(sweep.cells)} cells {what}: {printable(shorten(names, MOST_NAMES))}")
        for names, what in said
        if names
    ]
    return Matrix(folder, sweep, links, problems)


def by_id(sweep: Sweep) -> dict[str, Cell]:
    """Returns the cells by their keys, of those with the same one the first."""
    return {cell.id: cell for cell in reversed(sweep.cells)}


def _leads_inside(text: str) -> bool:
    """Tells whether a text can be a path below a folder, as all systems read it."""
    path = PurePosixPath(text)
    return not path.is_absolute() and ".." not in path.parts and not set(text) & set("\\:\0")


def _is_there(root: str, text: str) -> bool | None:
    """Tells whether a file lies in a folder, links followed; None where there is no such file."""
    try:
        return Path(os.path.realpath(Path(root) / text, strict=True)).is_relative_to(root)
    except OSError:
        return None
