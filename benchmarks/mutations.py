"""What a verification of Core ML packages notices: saved files are corrupted on purpose, and the catches are counted.

Each corruption is made in the float32 and in the half-precision package of a model. "Changed" are those that move an
output of the float32 package by more than 1e-4 of the largest value, on the images that a verification runs.
Run: ``python -m benchmarks.mutations [MODEL:SIDE ...]``; the three models of the table take half an hour.
"""

import json
import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from tests.support.mutations.judge import export_subject
from tests.support.mutations.kinds import KINDS
from tests.support.mutations.outcome import Outcome, count, examine
from tests.support.mutations.sample import draw

MODELS = ["cas_vit_xs:64", "cloformer_xxs:64", "lightvit_tiny:224"]  # the smallest sides with every op of each
COLUMNS = (
    "kind",
    "tried",
    "unreadable",
    "changed",
    "caught by fp32",
    "of fp16",
    "caught by fp16",
    "with --tight",
    "unseen",
)

progress = Console(stderr=True)


def corrupt(model: str, per_kind: int, seed: int) -> list[Outcome]:
    """Exports a model, given as name:side, and tries up to ``per_kind`` corruptions of each kind on it."""
    name, _, side = model.rpartition(":")
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        progress.print(f"{name}: exporting")
        subject = export_subject(name, int(side), Path(folder), ["fp32", "fp16"])
        for precision in ("fp32", "fp16"):
            if subject.caught_by_verify(subject.packages[precision], precision) != "passed":
                raise SystemExit(f"the intact {precision} package of {name} does not pass")
        for kind in KINDS:
            for corruption in draw(subject.packages["fp32"], kind, per_kind, seed):
                outcome = examine(subject, corruption, Path(folder))
                if outcome:
                    outcomes.append(outcome)
            progress.print(f"{name}: {kind}, {len(outcomes)} so far")
    return outcomes


def row(title: str, outcomes: Iterable[Outcome]) -> tuple[str, ...]:
    """Returns a line of the table."""
    tally = count(outcomes)
    numbers = (
        tally.tried,
        tally.unreadable,
        tally.changed,
        tally.caught,
        tally.halves,
        tally.caught_half,
        tally.caught_tight,
    )
    return (title, *map(str, numbers), f"{tally.caught_unseen} of {tally.unseen}")


def rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Returns the table: a line for each kind, one for each model, and one for all."""
    lines = [row(kind, (one for one in outcomes if one.corruption.kind == kind)) for kind in KINDS]
    models = dict.fromkeys(one.model for one in outcomes)
    lines += [row(model, (one for one in outcomes if one.model == model)) for model in models]
    return [*lines, row("all", outcomes)]


def summary(outcomes: Sequence[Outcome]) -> str:
    """Returns the shares in a sentence."""
    tally = count(outcomes)
    shares = [
        f"{tally.tried} corruptions; {tally.unreadable} leave a package that cannot be run, which is a catch.",
        f"Of {tally.changed} others that change the output by more than 1e-4, float32 catches {tally.share:.1%}",
        f"and half precision {tally.caught_half / max(tally.halves, 1):.1%} of the {tally.halves} that it has too, "
        f"with --tight {tally.caught_tight / max(tally.halves, 1):.1%}.",
        f"On other images alone {tally.unseen} change the output, of which float32 catches {tally.caught_unseen}.",
    ]
    return " ".join(shares)


def as_markdown(lines: Sequence[Sequence[str]]) -> str:
    """Returns the table in Markdown."""
    header = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)]]
    return "".join(f"| {' | '.join(line)} |\n" for line in [*header, *lines])


def as_json(outcomes: Sequence[Outcome], seed: int, per_kind: int, models: Sequence[str]) -> str:
    """Returns every outcome; a change that is not finite is null, for JSON has no infinity."""
    content: list[dict[str, Any]] = [asdict(one) for one in outcomes]
    for one in content:
        for key in ("change", "change_elsewhere"):
            one[key] = one[key] if math.isfinite(one[key]) else None
    return json.dumps({"models": models, "seed": seed, "per_kind": per_kind, "outcomes": content}, indent=1)


def main(
    models: Annotated[list[str] | None, typer.Argument(help="name:side; by default three")] = None,
    per_kind: Annotated[int, typer.Option(help="corruptions of each kind, for each model")] = 4,
    seed: Annotated[int, typer.Option(help="of the choice of places")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="writes every outcome")] = None,
    markdown: Annotated[Path | None, typer.Option(help="writes the table")] = None,
) -> None:
    """Corrupts the packages of each model and prints what was caught."""
    torch.set_num_threads(1)
    chosen = models or MODELS
    outcomes = [outcome for model in chosen for outcome in corrupt(model, per_kind, seed)]
    table = Table(*COLUMNS)
    for line in rows(outcomes):
        table.add_row(*line)
    Console(width=140).print(table, summary(outcomes))
    if json_file:
        json_file.write_text(as_json(outcomes, seed, per_kind, chosen))
    if markdown:
        markdown.write_text(f"{as_markdown(rows(outcomes))}\n{summary(outcomes)}\n")


if __name__ == "__main__":
    typer.run(main)
