"""One cell, in a process of its own: exported, judged, measured; what is known of it afterwards."""

import importlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from mobilevit_deploy.apple.open import open_place
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.checks.plan import Check
from mobilevit_deploy.checks.run import export_and_judge
from mobilevit_deploy.checks.verdict import Verdict
from mobilevit_deploy.errors import ArtifactError, MeasurementError, MvdError, UsageError
from mobilevit_deploy.export.cache import default_folder
from mobilevit_deploy.export.document import write_report
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.measurement.android.attached import open_phone
from mobilevit_deploy.measurement.latency.android import AndroidRequest, measure_android
from mobilevit_deploy.measurement.latency.coreml import CoreMLRequest, measure_coreml
from mobilevit_deploy.measurement.latency.document import android_document, coreml_document, latency_document
from mobilevit_deploy.measurement.latency.measure import LatencyRequest, measure_latency
from mobilevit_deploy.report.page.folder import read_folder
from mobilevit_deploy.report.page.html import render
from mobilevit_deploy.report.stored import store_latencies
from mobilevit_deploy.sweep.plan import LatencyRule
from mobilevit_deploy.system.publish import publish_text
from mobilevit_deploy.targets import registry
from mobilevit_deploy.targets.artifact import report_name
from mobilevit_deploy.targets.coreml.quiet import quiet_coreml
from mobilevit_deploy.verification.leg import ARTIFACT

Progress = Callable[[str], None]
PAGE = "report.html"
# What exports import as they run, and which takes most of that time: all but some 50 of 1,600 modules.
IMPORTS = ("torch._dynamo", "torch.export._trace")
IMPORTS_OF = {
    "onnx": ("torch.onnx._internal.exporter._core",),
    "coreml": ("coremltools",),
    "executorch": ("executorch.exir", "executorch.backends.xnnpack.partition.xnnpack_partitioner"),
}


def prepare(check: Mapping[str, Any], **_more: Any) -> None:
    """Imports what a cell needs, for it and those behind it; where that fails the cell itself will tell."""
    with suppress(MvdError):
        registry.target(check["to"])
    for name in (*IMPORTS, *IMPORTS_OF.get(check["to"], ())):
        with suppress(ImportError), quiet_coreml():
            importlib.import_module(name)


def make_cell(
    check: Mapping[str, Any], latency: Mapping[str, Any] | None, device: str | None, code: Path, folder: Path
) -> dict[str, Any]:
    """Makes one cell; its files go into a folder, and what it prints is its log.

    Args:
        check: the export and its limits, as values of ``Check``.
        latency: how it is measured, as values of ``LatencyRule``; None for not at all.
        device: that it is measured on; None for this machine.
        code: the folder that the user's own code is looked for in.
        folder: an empty one.

    Returns:
        What ``report.matrix.record.Cell`` says of a cell that is done, or whose limits are not met; files are named as
        they lie in the folder.

    Raises:
        MvdError: it cannot be made.
    """
    os.chdir(code)
    begun = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - begun:7.1f} s  {line}", flush=True)

    asked = Check.model_validate(check)
    report, verdicts = export_and_judge(asked, folder, default_folder(), tell)
    found = _known(report)
    if report.parity.status != "failed" and not report.parity.refused:
        if latency is not None:
            measured, verdict = _measure(report, LatencyRule.model_validate(latency), device, tell)
            found["latency"] = measured
            verdicts = (*verdicts, verdict) if verdict else verdicts
        name = report.artifact.path.name
        # What names the folder of now would lead nowhere later.
        write_report(replace(report, artifact=replace(report.artifact, path=Path(name))), folder)
        publish_text(render(replace(read_folder(folder), path=Path(asked.title))), folder / PAGE)
        found |= {"artifact": name, "report": report_name(Path(name), report.artifact.target), "page": PAGE}
    failed = [
        f"{verdict.gate}: {verdict.reason or verdict.found}" for verdict in verdicts if verdict.status == "failed"
    ]
    return {
        **found,
        "status": "failed" if failed else "done",
        "reason": "; ".join(failed)[:4000],
        "gates": [vars(verdict) for verdict in verdicts],
    }


def _known(report: ExportReport) -> dict[str, Any]:
    """Returns what an export's report tells of a cell."""
    parity, accuracy = report.parity, report.accuracy
    own = [output.snr_db for leg in parity.legs if leg.subject == ARTIFACT for output in leg.outputs]
    shares = (accuracy.artifact, accuracy.reference) if accuracy else (None, None)
    return {
        "size": "x".join(map(str, report.input.shape[-2:])) if len(report.input.shape) == 4 else None,
        "precision": report.precision,
        "sha256": report.artifact.sha256,
        "bytes": report.artifact.bytes,
        "parity": parity.status if parity.status in ("passed", "failed") else None,
        "snr_db": min(own, default=None),
        "accuracy": {
            "metric": accuracy.metric,
            "artifact": shares[0],
            "pytorch": shares[1],
            "images": accuracy.images,
        }
        if accuracy and None not in shares
        else None,
    }


def _measure(
    report: ExportReport, rule: LatencyRule, device: str | None, tell: Progress
) -> tuple[dict[str, Any] | None, Verdict | None]:
    """Measures an artifact where it was asked for; where that cannot be it returns a verdict that says why."""
    try:
        measured = _time(report.artifact.path, report.artifact.target, rule, device or "host", tell)
    except (
        MeasurementError,
        ArtifactError,
        UsageError,
    ) as error:  # no phone, no Mac, or a file that does not run there
        return None, Verdict("latency", "undecided", "", "measured", error.message)
    return measured, None


def _time(path: Path, target: str, rule: LatencyRule, device: str, tell: Progress) -> dict[str, Any]:
    kind = catalog.device(device).kind
    if kind == "android":
        phone = open_phone(device)
        reports: Any = measure_android(
            AndroidRequest([path], None, rule.threads, rule.delegate, rule.seconds), phone, tell
        )
        document: Callable[[Any], dict[str, Any]] = android_document
        place, threads = f"{phone.model}, {rule.delegate}", rule.threads
    elif target == "coreml":
        opened = open_place(device, progress=tell, packages=[path])
        reports = measure_coreml(CoreMLRequest([path], (rule.compute_units,), rule.seconds), opened, tell)
        document, place, threads = coreml_document, f"{device}, {rule.compute_units}", None
    else:
        request = LatencyRequest([path], format_of(target).backend, threads=rule.threads, seconds=rule.seconds)
        reports = measure_latency(request, tell)
        document, place, threads = latency_document, str(reports[0].environment["cpu"]), rule.threads
    store_latencies(reports, document)
    (report,) = reports
    low, high = report.statistics.ci95_ms
    return {
        "p50": report.statistics.p50_ms,
        "low": low,
        "high": high,
        "device": place,
        "threads": threads,
        "stable": report.stable,
    }
