"""Every catalog model to Core ML or Core AI in every precision and for every floor, compared on this machine.

Run: ``python benchmarks/every_apple_export.py coreml --markdown docs/measured/coreml-exports.md``, or with ``coreai``.
Either takes about half an hour on one core; Core ML needs scikit-learn (``pip install '.[compression]'``), Core AI its
extra.
Exit code 3 when any leg of any export fails.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import get_args

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.catalog.model_card import Task
from mobilevit_deploy.export.export import Clock, export_one
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline.plan import TargetRequest, plan_target
from mobilevit_deploy.pipeline.prepare import Prepared, prepare
from mobilevit_deploy.verification.leg import ARTIFACT, Leg

# By target: precisions, and the iOS versions to write for where the format has a choice.
FORMS: dict[str, tuple[tuple[str, ...], tuple[int | None, ...]]] = {
    "coreml": (("fp32", "fp16", "w8", "w4"), (16, 18)),
    "coreai": (("fp32", "fp16"), (None,)),
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

    def cells(self) -> list[str]:
        """Returns the row of the table."""
        float32 = self.leg("float32 conversion", ARTIFACT)
        unrounded = self.leg("half precision, unrounded")
        artifact = self.leg(ARTIFACT)
        return [
            f"{self.model}{'' if self.task == 'classify' else ' ' + self.task}",
            self.precision,
            f"iOS {self.floor}" if self.floor else "",
            f"{self.report.artifact.bytes / 1e6:.1f} MB",
            _worst(float32),
            _worst(unrounded),
            _worst(artifact),
            f"{min(item.snr_db for item in artifact.outputs):.0f} dB" if artifact and artifact.outputs else "",
            self.report.parity.status,
        ]


HEAD = ["model", "precision", "from", "size", "float32 leg", "half precision, unrounded", "file", "SNR", "parity"]


def _worst(leg: Leg | None) -> str:
    return f"{max(item.max_rel for item in leg.outputs):.0e}" if leg and leg.outputs else ""


def export_all(target: str, models: list[str], tasks: list[Task]) -> Iterator[Row]:
    """Exports every combination; nothing is kept on disk."""
    precisions, floors = FORMS[target]
    for name, task in product(models, tasks):
        prepared = prepare(load_model(ModelRequest(name, task)))
        for precision, floor in product(precisions, floors):
            yield Row(name, precision, task, floor, _export(target, prepared, precision, floor))


def _export(target: str, prepared: Prepared, precision: str, floor: int | None) -> ExportReport:
    plan = plan_target(TargetRequest(target, precision=precision, version=floor))
    with tempfile.TemporaryDirectory() as folder:
        return export_one(plan, prepared, Path(folder), Clock())


NOTES = """# Every model and precision, verified

Made by `python benchmarks/every_apple_export.py {target} --markdown docs/measured/{target}-exports.md`: untrained
weights, default size, structured images, torch {torch}, {package} {version}. Differences are shares of the largest
output.

- *float32 leg*: the same graph converted in float32, against PyTorch.
- *half precision, unrounded*: the half-precision package against that one, both computing in float32 with their weights
  in half precision.
- *file*: what is shipped, against PyTorch. Untrained weights overstate what compression costs: for a trained model see
  [the page on apps](../start/iphone-app.md#smaller-files).

"""


def table(target: str, rows: list[Row]) -> str:
    """Returns the rows in Markdown, with what they mean."""
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    package = format_of(target).packages[0]
    notes = NOTES.format(target=target, package=package, version=version(package), torch=version("torch"))
    return notes + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=FORMS)
    parser.add_argument("models", nargs="*", help="names from `mvd list`; default: all")
    parser.add_argument("--tasks", nargs="+", default=["classify"], choices=get_args(Task))
    parser.add_argument("--markdown", type=Path, help="write the table here as well")
    options = parser.parse_args()
    rows = []
    for row in export_all(options.target, options.models or list(catalog.models()), options.tasks):
        rows.append(row)
        print("  ".join(row.cells()), flush=True)
        if row.report.parity.status != "passed":
            print(f"  {row.report.parity.reason}", flush=True)
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(table(options.target, rows), encoding="utf-8")
    sys.exit(0 if all(row.report.parity.status == "passed" for row in rows) else 3)


if __name__ == "__main__":
    main()
