"""Where an export goes: a folder, or one file whose name the user chose."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

OutFile = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR|FILE",
        help="The folder for artifacts and reports; or the file to write, such as net.onnx, its report beside it.",
    ),
]


def read_out(out: Path, targets: Sequence[str]) -> tuple[Path, str | None, tuple[str, ...]]:
    """Returns the folder that --out means, and of an artifact's name that name and its target; raises UsageError.

    Args:
        out: as given.
        targets: as given; none to take the one that the name ends in.
    """
    from mobilevit_deploy.catalog.formats import formats
    from mobilevit_deploy.errors import UsageError

    suffixes = {known.suffix: name for name, known in formats().items()}
    target = suffixes.get(out.suffix)
    if target is None:
        near = [] if out.is_dir() else get_close_matches(out.suffix, suffixes, n=1)
        if near:
            raise UsageError(
                f"--out {out} ends in no artifact's suffix", f"did you mean {out.with_suffix(near[0]).name}?"
            )
        return out, None, ()
    if len(targets) > 1:
        raise UsageError(f"--out {out} names one file, and there are {len(targets)} targets", "give --out a folder")
    if out.is_dir() and not out.with_name(f"{out.stem}.{target}.json").is_file():  # an export's report stands beside it
        raise UsageError(f"--out {out} is a folder that mvd did not write", "give another name")
    if targets and targets[0] != target:
        suffix = formats()[targets[0]].suffix
        raise UsageError(f"--out {out} is a name for {target}, and --to is {targets[0]}", f"end it in {suffix}")
    return out.parent, out.name, (target,)
