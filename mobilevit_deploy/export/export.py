"""The main job: load, capture, rewrite, convert, verify, publish."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from mobilevit_deploy.catalog.formats import format_of, tool_versions
from mobilevit_deploy.errors import CheckFailedError, UsageError
from mobilevit_deploy.export import cache as export_cache
from mobilevit_deploy.export.advice import next_step
from mobilevit_deploy.export.card import write_card
from mobilevit_deploy.export.document import write_report
from mobilevit_deploy.export.replaced import warn_of_replaced
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.export.side_by_side import computed_beside, export_targets
from mobilevit_deploy.graph.capture import recapture
from mobilevit_deploy.loading.model import load_model
from mobilevit_deploy.pipeline import provenance
from mobilevit_deploy.pipeline.conversion import UNTRAINED, convert_for_target
from mobilevit_deploy.pipeline.origin import with_channels_first
from mobilevit_deploy.pipeline.plan import Plan, plan_target
from mobilevit_deploy.pipeline.prepare import (
    Prepared,
    ReadyForTarget,
    borders_of,
    check_app,
    input_of,
    prepare,
    ready_for_target,
)
from mobilevit_deploy.pipeline.reconstruct import Reconstructed
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.system.publish import publish, staging
from mobilevit_deploy.targets.artifact import Artifact
from mobilevit_deploy.targets.registry import describe_file, runners_for
from mobilevit_deploy.verification.accuracy.measure import Baseline, run_baseline
from mobilevit_deploy.verification.before_decision import compare_before
from mobilevit_deploy.verification.explain import doubtful_legs, explain_doubts
from mobilevit_deploy.verification.leg import ARTIFACT
from mobilevit_deploy.verification.legs import (
    Known,
    compare_artifact,
    compare_graph,
    compare_other_sizes,
    expect_for_artifact,
    expect_for_target,
)
from mobilevit_deploy.verification.parity import Comparison, ParityReport
from mobilevit_deploy.verification.precision_loss import why_accepted

Progress = Callable[[str], None]

HALF_PRECISION_SNR_DB = 20.0  # what recipes ask of it, for one that writes no half precision


class ParityFailedError(CheckFailedError):
    """An artifact that does not compute what PyTorch computed, or that its runtime refuses; nothing was published.

    ``reports`` holds every target's report, those that passed too.
    """

    def __init__(self, reports: Sequence[ExportReport]) -> None:
        failed = [report for report in reports if _is_wrong(report)]
        super().__init__(
            "\n".join(f"{report.artifact.target}: {report.parity.reason}" for report in failed),
            f"nothing was written; {next_step(failed)}",
        )
        self.reports = tuple(reports)


def _is_wrong(report: ExportReport) -> bool:
    """Tells whether an artifact must not be published: it computes something else, or its own runtime refuses it."""
    return report.parity.status == "failed" or report.parity.refused


class Clock:
    """Tells progress which stage begins, and adds up what each takes, in seconds."""

    def __init__(self, progress: Progress = lambda _stage: None, shared: Mapping[str, float] | None = None) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = dict(shared or {})

    @contextmanager
    def stage(self, name: str, detail: str) -> Iterator[None]:
        self.progress(detail)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 3)


def export_model(request: ExportRequest, progress: Progress = lambda _stage: None) -> list[ExportReport]:
    """Exports one model to one or more targets, verifies what was written, and publishes all of it or nothing.

    Args:
        request: what to export.
        progress: called with a line of text when a stage begins.

    Raises:
        MvdError: any of the tree in ``errors``; ParityFailedError when an artifact computes something else, or its
            runtime refuses it.
    """
    plans = [plan_target(item) for item in request.target_requests()]
    wanted = request.model_request()
    if request.allow_precision_loss and not any(plan.allow_precision_loss for plan in plans):
        raise UsageError("--allow-precision-loss, but nothing here is half precision", "leave it out")
    with staging(request.folder) as work:
        key = export_cache.key_of(request) if request.cache else None
        if request.cache and key and not request.force:
            progress("looking for the same export")
            kept = export_cache.find(request.cache, key, work, request.model.checkpoint)
            if kept is not None:
                return _publish(kept, work, request, progress)
        clock = Clock(progress)
        with clock.stage("load", f"loading {request.model.name}"):
            model = load_model(wanted)
        with clock.stage("capture", "capturing the graph with torch.export"):
            images = request.images_request(next((plan.labels for plan in plans if plan.labels), None))
            with computed_beside(model, len(plans), request.jobs) as computed:
                prepared = prepare(model, images, request.calibrate, request.app.preprocessing(model.preprocessing))
                if prepared.model is model:  # and not one that takes another layout
                    prepared = replace(prepared, computed=computed())
            for plan in plans:
                check_app(plan, prepared)
        baseline = None
        if prepared.given:  # once for all targets
            with clock.stage("verify", "running PyTorch on your images"):
                baseline = run_baseline(model, prepared.given, progress)
        known = Known()

        def export_to(plan: Plan, tell: Progress) -> ExportReport:
            return export_one(plan, prepared, work, Clock(tell, clock.seconds), known, baseline)

        exports = {plan.recipe.target: partial(export_to, plan) for plan in plans}
        weights = sum(tensor.nbytes for tensor in prepared.captured.graph.weights.values())
        reports = export_targets(exports, weights, request.jobs, progress)
        if any(map(_is_wrong, reports)):
            raise ParityFailedError([_with_final_path(report, request.folder) for report in reports])
        if request.cache and key:
            export_cache.keep(request.cache, key, reports, work)
        return _publish(reports, work, request, progress)


def _publish(
    reports: Sequence[ExportReport], work: Path, request: ExportRequest, progress: Progress
) -> list[ExportReport]:
    """Writes reports and model cards beside the artifacts and moves all to their final names."""
    folder = request.folder
    if request.file_name:
        reports = [_renamed(report, work, request.file_name) for report in reports]
    progress(f"publishing into {folder}")
    final = []
    for report in reports:
        replaced = warn_of_replaced(report, folder)
        warnings = (*report.warnings, *([replaced] if replaced else []))
        final.append(replace(_with_final_path(report, folder), warnings=warnings))
    for report in final:
        write_card(write_report(report, work))
    publish(work, folder)
    return final


def export_one(
    plan: Plan,
    prepared: Prepared,
    work: Path,
    clock: Clock,
    known: Known | None = None,
    baseline: Baseline | None = None,
) -> ExportReport:
    """Rewrites, converts and verifies one model for one target, into a folder and without publishing it.

    Args:
        plan: of the target.
        prepared: the model.
        work: the folder.
        clock: adds up the time of each stage.
        known: what PyTorch computes, where that was run for another target; takes it otherwise.
        baseline: what PyTorch makes of the user's own images, if there are any.

    Raises:
        ConversionError: the converter refused the graph. A file that fails its parity raises nothing here.
    """
    target, model, captured = plan.recipe.target, prepared.model, prepared.captured
    with clock.stage("rewrite", f"{target}: rewriting the graph and proving each rewrite"):
        ready = ready_for_target(plan, prepared)
    comparison = Comparison()
    with clock.stage("verify", f"{target}: comparing the rewritten graph with PyTorch"):
        expected = expect_for_target(prepared, ready, Known() if known is None else known)
        warnings = (*ready.warnings, *compare_graph(plan, prepared, ready, expected, comparison))
    with tempfile.TemporaryDirectory(prefix="mvd-steps-") as steps:
        with clock.stage("convert", f"{target}: converting"):
            artifact = convert_for_target(plan, prepared, ready, work, Path(steps))
        with clock.stage("verify", f"{target}: comparing {artifact.path.name} with PyTorch"):
            own = expect_for_artifact(prepared, ready, expected)
            compare_artifact(plan, ready, artifact, expected, comparison, own)
            prune = plan.compression.prune if plan.compression else None
            compared = (borders_of(ready), plan.recipe, plan.precision, prune)
            compare_before(model, target, artifact.path, None, *compared, comparison)
            if plan.app.sizes:
                compare_other_sizes(plan, prepared, ready, artifact, comparison)
            if doubtful_legs(comparison):
                _explain(plan, prepared, ready, artifact, comparison)
            accuracy = None
            if baseline:
                openers = runners_for(target, artifact.path)
                accuracy = baseline.measure(borders_of(ready), openers, clock.progress)
    parity = comparison.report(why_accepted(trained=model.weights.trained, allowed=plan.allow_precision_loss))
    return ExportReport(
        model=model.name,
        task=model.task,
        reconstruction=bool(model.card and model.card.family.reconstruction),
        weights=model.weights,
        input=artifact.input or input_of(ready, prepared)[0],
        inputs=model.inputs,
        preprocessing=prepared.preprocessing,
        classes=ready.app.labels or ready.app.classes.names or (model.library.classes if model.library else ()),
        head=model.head,
        outputs=artifact.outputs,
        artifact=artifact,
        recipe=plan.recipe.name,
        precision=plan.precision,
        compression=plan.compression,
        version=_version(plan),
        ops_before=captured.graph.histogram(),
        ops_rewritten=ready.rewritten.histogram(),
        rewrites=ready.results or (),
        parity=parity,
        accuracy=accuracy,
        seconds=clock.seconds,
        tool_versions=tool_versions(),
        warnings=(
            *model.notes,
            *warnings,
            *artifact.warnings,
            *_warn_of_loss(parity, plan, trained=model.weights.trained),
        ),
    )


def _explain(plan: Plan, prepared: Prepared, ready: ReadyForTarget, artifact: Artifact, comparison: Comparison) -> None:
    """Looks at each operation of an artifact whose outputs alone tell too little."""
    _, sample = input_of(ready, prepared)
    made = cache(lambda: Reconstructed(prepared, recapture(ready.graph, sample), sample))
    file = describe_file(artifact.path)
    noted = provenance.parse(file.metadata, file.path.name)
    files = {step.subject: step.path for step in artifact.intermediates if step.precision == "fp32"}
    if plan.precision == "fp32":
        files[ARTIFACT] = artifact.path
    half = next((step.path for step in artifact.intermediates if step.precision == "fp16"), None)
    explain_doubts(made, with_channels_first(file, noted), noted, comparison, files, half)


def _version(plan: Plan) -> dict[str, int]:
    name = format_of(plan.recipe.target).version
    return {name: plan.version} if name and plan.version is not None else {}


def _warn_of_loss(parity: ParityReport, plan: Plan, *, trained: bool) -> tuple[str, ...]:
    """Returns a warning when compressed weights, or int8, change the outputs by more than half precision may."""
    if plan.precision != "int8" and plan.compression is None:
        return ()
    found = [output.snr_db for leg in parity.legs if leg.subject == ARTIFACT for output in leg.outputs]
    half = plan.recipe.tolerances.get("fp16")
    usual = half.snr_db if half else HALF_PRECISION_SNR_DB
    if min(found, default=usual) >= usual:
        return ()
    what = "compression" if plan.compression else plan.precision
    return (
        f"{what} leaves the outputs an SNR of {min(found):.0f} dB, less than the {usual:.0f} dB asked of half "
        "precision: --images DIR shows what it costs in accuracy"
        + ("" if trained else "; untrained weights lose more than trained ones"),
    )


def _renamed(report: ExportReport, work: Path, name: str) -> ExportReport:
    """Gives an artifact the name that the user chose, which may not say that its weights are random.

    A kept export's report has the path of the first time: the file is the one of that name in ``work``.
    """
    path = (work / report.artifact.path.name).rename(work / name)
    silent = f"{name} has random weights, and its name does not say so"
    told = report.weights.trained or UNTRAINED in name
    warnings = report.warnings if told else (*report.warnings, silent)
    return replace(report, artifact=replace(report.artifact, path=path), warnings=warnings)


def _with_final_path(report: ExportReport, folder: Path) -> ExportReport:
    return replace(report, artifact=replace(report.artifact, path=folder / report.artifact.path.name))
