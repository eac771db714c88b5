"""Files of Semantic FPN and RetinaNet beside what MMSegmentation and MMDetection computed, and recorded.

Each output is exported from a checkpoint with the recorded weights, to ONNX and Core ML, in float32 and half precision,
and the file is run on the recorded image. ``detections`` are those of the 100 with the same label and an overlap above
0.99, and how far their scores are apart at most; ``report`` is the leg of the file itself, beside PyTorch, in the
export's own report.
Run: ``python -m benchmarks.recorded_heads [FOLDER] [--case 0 1] [--only coreml-fp16 ...]``; FOLDER has
``cas_vit_xs.segment.json``, ``.npz`` and so on, and is ``tests/golden/heads`` by default. A case takes half an hour.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from mobilevit_deploy import ExportReport, ExportRequest, HeadOptions, ModelRequest, ParityFailedError, export_model
from mobilevit_deploy.catalog.head_card import Output
from mobilevit_deploy.catalog.model_card import Task
from mobilevit_deploy.runners.base import Array, NotMeasured
from mobilevit_deploy.targets.registry import runners_for
from mobilevit_deploy.verification.detections import FLOAT32_IOU, match
from tests.support.recorded import (
    GOLDEN,
    Recorded,
    case_of,
    label_agreement,
    largest_errors,
    recorded_detections,
    recorded_head,
)

OUTPUTS: dict[Task, tuple[Output, ...]] = {"segment": ("logits", "labels"), "detect": ("raw", "nms")}
KINDS = ("onnx-fp32", "coreml-fp32", "coreml-fp16")  # target and precision


def compare(record: Recorded, number: int, task: Task, output: Output, kind: str, work: Path) -> tuple[str, ...]:
    """Exports one file, and returns its line of the table."""
    (target, precision), (case, size) = kind.split("-"), case_of(record, number)
    checkpoint = work / f"{task}.pth"
    torch.save({"meta": {}, "state_dict": record.state}, checkpoint)
    height, width = case["input_shape"][2:]
    model = ModelRequest("cas_vit_xs", task, checkpoint=checkpoint, size=(height, width), head=HeadOptions(output))
    try:
        (report,) = export_model(ExportRequest(model, (target,), precision=precision, folder=work / kind))
    except ParityFailedError as error:
        return task, size, target, precision, output, "no file", error.message
    figure = _figure(record, number, output, _run(report, record.input(case).numpy()))
    return task, size, target, precision, output, figure, _of_report(report)


def _run(report: ExportReport, image: Array) -> dict[str, Array]:
    """Runs the file in the first runner that this machine has; detections of a package are in pixels there."""
    openers = runners_for(report.artifact.target, report.artifact.path)
    runner = next(opener for opener in openers if not isinstance(opener, NotMeasured))()
    found = runner.run(image)
    names = [item.name for item in report.outputs]
    return dict(zip(names if len(names) == len(found) else map(str, range(len(found))), found, strict=True))


def _figure(record: Recorded, number: int, output: Output, found: dict[str, Array]) -> str:
    if output in ("logits", "raw"):
        return f"{max(largest_errors(record, found, number)):.1e} of the largest value"
    if output == "labels":
        return f"{label_agreement(record, found['labels'], number):.4%} of the labels that are sure"
    expected = [item[0] for item in recorded_detections(record, number)[:3]]
    boxes, scores, labels, count = found.values()
    left = int(count.reshape(-1)[0])
    pairs = match(tuple(expected), (boxes[0][:left], scores[0][:left], labels[0][:left]), FLOAT32_IOU, 0.0)  # type: ignore[arg-type]
    paired, apart = int((pairs.first >= 0).sum()), pairs.score_differences.max(initial=0)
    return f"{paired} of {len(expected[1])} detections, IoU {pairs.ious.min(initial=1):.5f}, scores {apart:.1e}"


def _of_report(report: ExportReport) -> str:
    (leg,) = [leg for leg in report.parity.legs if leg.subject == "artifact"][:1]
    numbers = [f"{item.name} {item.max_rel:.1e}" for item in leg.outputs]
    decisions = [f"{item.name} {item.agreement:.2%}" for item in leg.decisions]
    return f"{report.parity.status}: {', '.join([*numbers[:1], *decisions])}"


def main() -> None:
    """Compares what is named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=GOLDEN / "heads", help="of the recorded outputs")
    parser.add_argument("--case", type=int, nargs="+", default=[0, 1], help="which of each head's two images")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="target and precision")
    given = parser.parse_args()
    console, rows = Console(soft_wrap=True), []
    for number in given.case:
        for task, outputs in OUTPUTS.items():
            record = recorded_head(task, given.folder)
            for kind in given.only:
                for output in outputs:
                    with tempfile.TemporaryDirectory() as work:
                        rows.append(compare(record, number, task, output, kind, Path(work)))
                    console.print(*rows[-1])
    _show(console, rows)


def _show(console: Console, rows: Sequence[tuple[str, ...]]) -> None:
    table = Table("task", "image", "target", "precision", "output", "beside the recorded", "report")
    for row in rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
