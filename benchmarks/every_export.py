"""Every catalog model to Core ML, Core AI or LiteRT in every precision and for every floor, compared on this machine.

Run: ``python benchmarks/every_export.py coreml --markdown docs/measured/coreml-exports.md``, or with ``coreai`` or
``litert``. Each takes half an hour to an hour on one core; Core ML needs scikit-learn
(``pip install '.[compression]'``), the others their extras.
A run adds its rows to those of the page, so that it can be taken up again.
Exit code 3 when any leg of any export fails.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.calibration import STRUCTURED
from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.catalog.model_card import Task
from mobilevit_deploy.errors import CatalogError
from mobilevit_deploy.export.export import Clock, export_one
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline.plan import TargetRequest, plan_target
from mobilevit_deploy.pipeline.prepare import Prepared, prepare, resize_model
from mobilevit_deploy.verification.leg import ARTIFACT, INT8_UNROUNDED, UNROUNDED, Leg


@dataclass(frozen=True)
class Forms:
    """What is written for a target: tasks, precisions by default, and iOS versions where the format has a choice."""

    precisions: tuple[str, ...]
    tasks: tuple[Task, ...] = ("classify",)
    floors: tuple[int | None, ...] = (None,)

    def of(self, task: Task, chosen: Sequence[str]) -> Iterator[tuple[str, int | None]]:
        """Yields each precision and version; of another task than the first the first precision alone."""
        precisions = self.precisions if task == self.tasks[0] else self.precisions[:1]
        yield from product([precision for precision in precisions if precision in chosen], self.floors)


FORMS = {
    "coreml": Forms(("fp32", "fp16", "w8", "w4"), floors=(16, 18)),
    "coreai": Forms(("fp32", "fp16")),
    "litert": Forms(("fp32", "fp16", "int8"), ("classify", "features")),
}


@dataclass(frozen=True)
class Row:
    """One export."""

    model: str
    precision: str
    task: Task
    floor: int | None
    report: ExportReport

    def leg(self, *subjects: str) -> Leg | None:
        """Returns the first leg of these subjects."""
        return next((leg for subject in subjects for leg in self.report.parity.legs if leg.subject == subject), None)

    @property
    def title(self) -> str:
        """Returns the model, its task where it does not classify, and its size where that is not the model's own."""
        size = self.report.input.shape[-1]
        usual = catalog.input_rule(catalog.model(self.model), self.task).default_size
        return " ".join([self.model, *([self.task] if self.task != "classify" else [])]) + (
            f", {size} px" if size != usual else ""
        )

    def cells(self) -> list[str]:
        """Returns the row of the table."""
        float32 = self.leg("float32 conversion", ARTIFACT)
        unrounded = self.leg(UNROUNDED, INT8_UNROUNDED)
        artifact = self.leg(ARTIFACT)
        return [
            self.title,
            self.precision,
            f"iOS {self.floor}" if self.floor else "",
            f"{self.report.artifact.bytes / 1e6:.1f} MB",
            _worst(float32),
            _worst(unrounded),
            _worst(artifact),
            f"{min(item.snr_db for item in artifact.outputs):.0f} dB" if artifact and artifact.outputs else "",
            self.report.parity.status,
        ]


HEAD = ["model", "precision", "from", "size", "float32 leg", "unrounded", "file", "SNR", "parity"]


def _worst(leg: Leg | None) -> str:
    return f"{max(item.max_rel for item in leg.outputs):.0e}" if leg and leg.outputs else ""


def export_all(target: str, models: list[str], size: int | None, precisions: Sequence[str]) -> Iterator[Row]:
    """Exports every combination, at a size in pixels where a model takes it; nothing is kept on disk."""
    forms = FORMS[target]
    for name, task in product(models, forms.tasks):
        loaded = load_model(ModelRequest(name, task))
        with suppress(CatalogError):
            loaded = resize_model(loaded, (size, size)) if size else loaded
        prepared = prepare(loaded, calibrate=Path(STRUCTURED))
        for precision, floor in forms.of(task, precisions):
            yield Row(name, precision, task, floor, _export(target, prepared, precision, floor))


def _export(target: str, prepared: Prepared, precision: str, floor: int | None) -> ExportReport:
    plan = plan_target(TargetRequest(target, precision=precision, version=floor, calibrated=True))
    with tempfile.TemporaryDirectory() as folder:
        return export_one(plan, prepared, Path(folder), Clock())


NOTES = """# Every model and precision, verified

Made by `python benchmarks/every_export.py {target}{size} --markdown docs/measured/{target}-exports.md`: untrained
weights, the default size unless a row has another, structured images, torch {torch}, {package} {version}. Differences
are shares of the largest output.{missing}

- *float32 leg*: the same graph converted in float32, against PyTorch.
- *unrounded*: the half-precision or int8 file against that one, both computing in float32 with their weights rounded.
- *file*: what is shipped, against PyTorch. Untrained weights overstate what compression costs: for a trained model see
  [the page on apps](../start/iphone-app.md#smaller-files).

"""


def read_rows(path: Path | None) -> list[list[str]]:
    """Returns the rows of a page that an earlier run wrote, so that it can be taken up again; none without one."""
    lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
    rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines if line.startswith("| ")]
    return [[cell.strip() for cell in cells] for cells in rows[2:]]


def merged(rows: Iterable[list[str]]) -> list[list[str]]:
    """Returns rows in the order of the catalog, a later one in the place of an earlier one of the same export."""
    models = list(catalog.models())
    found = {tuple(cells[:3]): cells for cells in rows}
    return sorted(found.values(), key=lambda cells: models.index(re.split("[ ,]", cells[0])[0]))


def _missing(target: str, rows: list[list[str]]) -> str:
    """Returns which exports have no row, by precision and task."""
    there = {(cells[0].partition(",")[0], cells[1]) for cells in rows}
    found = []
    for task in FORMS[target].tasks:
        for precision in dict(FORMS[target].of(task, FORMS[target].precisions)):
            suffix = "" if task == "classify" else f" {task}"
            models = [model for model in catalog.models() if (f"{model}{suffix}", precision) not in there]
            found += [f"{precision}{suffix} of {', '.join(models)}"] if models else []
    return "; ".join(found)


def table(target: str, rows: list[list[str]], size: int | None) -> str:
    """Returns the rows in Markdown, with what they mean."""
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    package = format_of(target).packages[0]
    given = f" --size {size}" if size else ""
    missing = _missing(target, rows)
    notes = NOTES.format(
        target=target,
        size=given,
        package=package,
        version=version(package),
        torch=version("torch"),
        missing=f"\n\nNot run yet: {missing}." if missing else "",
    )
    return notes + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=FORMS)
    parser.add_argument("models", nargs="*", help="names from `mvd list`; default: all")
    parser.add_argument("--precisions", nargs="+", help="of the target; default: all")
    parser.add_argument("--size", type=int, help="of an image, in pixels, where a model takes it; default: the model's")
    parser.add_argument("--markdown", type=Path, help="write the table here as well")
    options = parser.parse_args()
    rows, failed = read_rows(options.markdown), False
    models, precisions = (
        options.models or list(catalog.models()),
        options.precisions or FORMS[options.target].precisions,
    )
    for row in export_all(options.target, models, options.size, precisions):
        rows = merged([*rows, row.cells()])
        failed |= row.report.parity.status != "passed"
        print("  ".join(row.cells()), flush=True)
        if row.report.parity.status != "passed":
            print(f"  {row.report.parity.reason}", flush=True)
        if options.markdown:
            options.markdown.write_text(table(options.target, rows, options.size), encoding="utf-8")
    sys.exit(3 if failed else 0)


if __name__ == "__main__":
    main()
