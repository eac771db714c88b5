"""The page with the table: one line for each export."""

from collections.abc import Sequence

from benchmarks.trained_heads.exports import METRICS, SIDE, TASKS, Row
from mobilevit_deploy.catalog.formats import format_of

HEADS = {"segment": "Semantic FPN", "detect": "RetinaNet"}
TEXT = """# A segmenter and a detector, trained

Semantic FPN and RetinaNet on `cas_vit_xs`, trained on circles, squares and triangles of any colour on textures, then
exported to each target in every precision that it has. PyTorch and each file are run on the same {images} images,
which neither training nor calibration saw, as `mvd export --images` does it
([how it is measured](../how-to/heads.md#what-an-export-costs-in-miou-and-ap)).

```
python -m benchmarks.trained_heads FOLDER
```

makes the set from a seed, trains both for some minutes of one core, the detector on the segmenter's backbone, and
writes this page. The models are as good as minutes make them; what counts here is the difference between PyTorch and a
file. Of {images} images a point says little: a file of 4 bits is no better than PyTorch, though it may stand so. The
checkpoints are in the format of MMEngine's runner, and `mvd` is told nothing of them but `--task`: the classes and
their names are read there. The files take {side} x {side} pixels; the images have sides of 67 to 192, and some are
empty.
"""


def page(rows: Sequence[Row], images: int) -> str:
    """Returns the page as Markdown."""
    text = TEXT.format(images=images, side=SIDE)
    for task in TASKS:
        text += f"\n## {HEADS[task]}\n\n{_table([row for row in rows if row.task == task], METRICS[task])}"
        text += f"\n![Annotation, PyTorch, and files of ONNX](../images/trained-{task}.png)\n"
    tools = dict.fromkeys(f"{name} {version}" for row in rows for name, version in row.tools.items())
    return f"{text}\nMeasured with {', '.join(tools)}; Core ML packages by the evaluator of `mvd`, not on a Mac.\n"


def _table(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    measured = next(row for row in rows if row.reference)
    assert measured.reference
    lines = [
        f"| target | precision | output | size | {metrics[0]} | {metrics[1]} | parity |",
        "|---|---|---|---:|---:|---:|---|",
        f"| PyTorch | fp32 | {measured.output} | | {' | '.join(map(_share, measured.reference))} | |",
    ]
    failed: list[str] = []
    advised: dict[tuple[str, tuple[str, ...]], list[Row]] = {}
    for row in rows:
        title = format_of(row.target).title
        if row.artifact is None or row.bytes is None:
            failed.append(f"{title}, {row.precision}: {row.reason}")
            lines.append(f"| {title} | {row.precision} | | | | | no file |")
            continue
        figures = " | ".join(map(_share, row.artifact))
        parity = (row.parity or "").replace("_", " ")
        if row.parity == "failed":
            failed.append(f"{title}, {row.precision}: {row.reason}")
            parity = "failed, not written"
        precision = row.precision
        if row.kept:
            precision += f", {len(row.kept)} modules fp32"
            advised.setdefault((title, tuple(row.kept)), []).append(row)
        lines.append(f"| {title} | {precision} | {row.output} | {row.bytes / 1e6:.1f} MB | {figures} | {parity} |")
    for (title, kept), several in advised.items():
        named, which = ", ".join(f"`{name}`" for name in kept), ", ".join(row.precision for row in several)
        failed.append(
            f"{title}, {which}: of one of the structured images, values come beyond half precision's largest, so the "
            f"first export was refused ({several[0].reason}). The figures are of the second, with the modules in "
            f"float32 that the first one's warning named: {named}"
        )
    notes = "".join(f"- {note}\n" for note in failed)
    return "\n".join(lines) + "\n" + (f"\n{notes}" if notes else "")


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"
