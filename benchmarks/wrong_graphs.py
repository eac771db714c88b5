"""What a verification notices on any target: graphs are corrupted before the conversion, and the catches are counted.

For formats whose files cannot be edited, such as ``.pte``: the file of a corrupted graph is as wrong as one of a
converter's fault. "Changed" are those that move an output by more than 1e-4 of the largest value. Beside those that a
verification catches stand those that the recipe's tolerance alone would, without the noise of PyTorch's own float32.
Run: ``python -m benchmarks.wrong_graphs TARGET [--model NAME --side N --per-kind N]``; each graph that
changes is converted.
"""

import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from tests.support.mutations.graph_judge import GraphSubject, WrongGraph


def row(title: str, found: list[WrongGraph]) -> tuple[str, ...]:
    """Returns a line of the table: how many were tried, changed an output, were refused, and caught in each way."""
    changed = [one for one in found if one.verdict is not None]
    refused = [one for one in changed if one.verdict == "unreadable"]
    caught = [one for one in changed if one.verdict == "failed"]
    strictly = [one for one in changed if one.strict == "failed"]
    return (title, *(str(len(ones)) for ones in (found, changed, refused, caught, strictly)))


def main(
    target: Annotated[str, typer.Argument(help="by name")],
    model: Annotated[str, typer.Option(help="of the catalog, or of one's own")] = "tests.research.hybrid_net:build",
    side: Annotated[int, typer.Option(help="of the image, in pixels")] = 32,
    per_kind: Annotated[int, typer.Option(help="corruptions of each kind")] = 4,
    seed: Annotated[int, typer.Option(help="of the choice of places")] = 0,
) -> None:
    """Corrupts the graph of a model and prints what was caught; ends in 1 when a changed output passes."""
    torch.set_num_threads(1)
    progress = Console(stderr=True)
    subject = GraphSubject(target, model, side)
    found: list[WrongGraph] = []
    with tempfile.TemporaryDirectory() as folder:
        if subject.verdict(None, Path(folder)) != "passed":
            raise SystemExit(f"the intact file of {model} does not pass")
        for one in subject.wrong_graphs(per_kind, seed, Path(folder)):
            found.append(one)
            progress.print(f"{one.kind}, {one.place}: {one.change:.1e}, {one.verdict or 'too small'}")
    table = Table(
        "kind", "tried", "changed", "refused", "caught", "by the tolerance alone", title=f"{target}: {model}, {side} px"
    )
    for kind in dict.fromkeys(one.kind for one in found):
        table.add_row(*row(kind, [one for one in found if one.kind == kind]))
    table.add_row(*row("all", found))
    Console(width=100).print(table)
    missed = [f"{one.kind} of {one.place}" for one in found if one.verdict == "passed"]
    if missed:
        raise SystemExit(f"not caught: {', '.join(missed)}")


if __name__ == "__main__":
    typer.run(main)
