"""Exports both trained models to every target in every precision, and keeps what each is worth."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mobilevit_deploy import (
    Annotations,
    AppOptions,
    ExportReport,
    ExportRequest,
    ModelRequest,
    MvdError,
    ParityFailedError,
    export_model,
)
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.formats import format_of, installed_targets, tool_versions
from mobilevit_deploy.verification.accuracy.detection import DetectAccuracy
from mobilevit_deploy.verification.accuracy.segmentation import SegmentAccuracy

SIDE = 64  # pixels of the files' inputs
TARGETS = ("onnx", "coreml", "executorch", "coreai", "litert")
TASKS = ("segment", "detect")
KEEP = re.compile(r"--keep-fp32 '([^']+)'")
METRICS = {"segment": ("mIoU", "pixels right"), "detect": ("AP50:95", "AP50")}


@dataclass(frozen=True)
class Row:
    """One export: shares of 1 of PyTorch and of the file, as ``METRICS`` names them; None where there is no file.

    ``kept`` are the modules in float32, without which half precision does not hold a value: those that the first export
    named, whose ``reason`` to be refused stays. ``tools`` are the versions of PyTorch and of the target's packages.
    """

    task: str
    target: str
    precision: str
    output: str | None = None
    bytes: int | None = None
    parity: str | None = None
    reference: tuple[float, float] | None = None
    artifact: tuple[float, float] | None = None
    reason: str = ""
    kept: Sequence[str] = ()
    tools: Mapping[str, str] = field(default_factory=dict)


def precisions(target: str) -> Iterator[str]:
    """Yields those that a target's recipe has, the widest first."""
    yield from catalog.recipe(target).tolerances


def export_all(folder: Path, tasks: Sequence[str] = TASKS) -> list[Row]:
    """Exports what lies in a folder: ``<task>.pth``, the set ``val/``, and ``calibration/`` for int8.

    The rows are kept in ``rows.json`` one by one, and what has a row is not exported again. Targets whose packages are
    not installed get none: no environment has the packages of all.
    """
    kept = folder / "rows.json"
    rows = [Row(**row) for row in json.loads(kept.read_text())] if kept.exists() else []
    done = {(row.task, row.target, row.precision) for row in rows}
    targets = [target for target in TARGETS if target in installed_targets()]
    for task in tasks:
        for target in targets:
            for precision in precisions(target):
                if (task, target, precision) in done:
                    continue
                rows.append(_export(folder, task, target, precision))
                print(rows[-1], flush=True)
                kept.write_text(json.dumps([asdict(item) for item in rows], indent=1))
    return sorted(rows, key=lambda row: (TASKS.index(row.task), TARGETS.index(row.target)))


def _export(folder: Path, task: str, target: str, precision: str) -> Row:
    own = folder / "val"
    known = Annotations(masks=own / "masks") if task == "segment" else Annotations(boxes=own / "instances.json")
    request = ExportRequest(
        ModelRequest("cas_vit_xs", task, checkpoint=folder / f"{task}.pth", size=(SIDE, SIDE)),
        (target,),
        precision=precision,
        folder=folder / "artifacts" / task,
        images=own / "images",
        annotations=known,
        calibrate=folder / "calibration" / "images" if precision == "int8" else None,
    )
    versions = tool_versions()
    tools = {name: str(versions[name]) for name in ("torch", *format_of(target).packages)}
    try:
        report = _report(request)
        able = report.parity.status == "failed" and format_of(target).writes(["--keep-fp32"])
        kept = KEEP.findall(" ".join(report.warnings)) if able else []
        if kept:  # as its warning advises
            reason, report = report.parity.reason, _report(replace(request, app=AppOptions(keep_fp32=tuple(kept))))
            row = _row(report)
            return replace(row, kept=kept, reason=row.reason or reason, tools=tools)
    except MvdError as error:
        return Row(task, target, precision, reason=error.message, tools=tools)
    return replace(_row(report), tools=tools)


def _report(request: ExportRequest) -> ExportReport:
    try:
        (report,) = export_model(request)
    except ParityFailedError as error:
        (report,) = error.reports
    return report


def _row(report: ExportReport) -> Row:
    accuracy, head = report.accuracy, report.head
    assert head is not None
    parity, target = report.parity, report.artifact.target
    if accuracy is None:  # no runner could run the file, which parity reports
        return Row(report.task, target, report.precision, reason=parity.reason or parity.status)
    if isinstance(accuracy, SegmentAccuracy):
        sides = [(side.mean_iou, side.pixel_accuracy) for side in (accuracy.before, accuracy.after)]
    else:
        assert isinstance(accuracy, DetectAccuracy)
        sides = [(side.ap, side.ap50) for side in (accuracy.before, accuracy.after)]
    return Row(
        report.task, target, report.precision, head.output, report.artifact.bytes, parity.status,
        *sides, parity.reason or "",
    )  # fmt: skip
