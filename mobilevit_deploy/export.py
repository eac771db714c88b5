"""The main job: load, capture, rewrite, convert, verify, publish."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mobilevit_deploy import export_cache
from mobilevit_deploy.accuracy import Accuracy, classify
from mobilevit_deploy.app_options import AppOptions, Compression
from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.capture import TensorSpec
from mobilevit_deploy.catalog import Precision
from mobilevit_deploy.conversion import convert_for_target
from mobilevit_deploy.environment import tool_versions
from mobilevit_deploy.errors import CheckFailedError, UsageError
from mobilevit_deploy.formats import format_of
from mobilevit_deploy.legs import (
    compare_artifact,
    compare_graph,
    compare_other_sizes,
    expect_for_artifact,
    expect_for_target,
    measure_given,
)
from mobilevit_deploy.load import ModelRequest, WeightsOrigin, load_model
from mobilevit_deploy.parity import ARTIFACT, Comparison, ParityReport
from mobilevit_deploy.pipeline import (
    Plan,
    Prepared,
    ReadyForTarget,
    TargetRequest,
    borders_of,
    check_app,
    plan_target,
    prepare,
    ready_for_target,
)
from mobilevit_deploy.publish import DEFAULT_FOLDER, publish, staging
from mobilevit_deploy.report.json import write_report
from mobilevit_deploy.rewriting import RewriteResult
from mobilevit_deploy.runners import runners_for
from mobilevit_deploy.runners.torch import TorchRunner

Progress = Callable[[str], None]

HALF_PRECISION_SNR_DB = 20.0  # what recipes ask of it, for one that writes no half precision


@dataclass(frozen=True)
class ExportRequest:
    """What to export; ``None`` leaves the choice to the recipe.

    ``recipe`` names one recipe for all targets; without it each target takes the recipe of its own name. ``images`` are
    the user's own, at most ``largest_count`` of them, see ``read_images``. ``cache`` is the folder of kept exports,
    from which the same export is taken unless ``force`` is set; None neither takes nor keeps. ``calibrate`` are the
    images that int8 is calibrated on; with ``sensitivity`` the report says what each module costs.
    """

    model: ModelRequest
    targets: tuple[str, ...]
    recipe: str | None = None
    precision: str | None = None
    opset: int | None = None
    min_ios: int | None = None
    rewrite: bool = True
    folder: Path = DEFAULT_FOLDER
    app: AppOptions = field(default_factory=AppOptions)
    images: Path | None = None
    largest_count: int | None = None
    cache: Path | None = None
    force: bool = False
    calibrate: Path | None = None
    sensitivity: bool = False

    def target_requests(self) -> list[TargetRequest]:
        """Returns one request per target; a target that is named twice counts once."""
        versions = {"opset": self.opset, "iOS": self.min_ios}
        used = {format_of(name).version for name in self.targets}
        for name, option in (("opset", "--opset"), ("iOS", "--min-ios")):
            if versions[name] is not None and name not in used:
                raise UsageError(f"{option} is for another target than {' and '.join(self.targets)}", "leave it out")
        takers = [name for name in self.targets if format_of(name).takes_app_options]
        if self.calibrate and self.precision != "int8":
            raise UsageError("--calibrate is for int8", "add --precision int8, or use mvd quantize")
        if self.sensitivity and self.precision != "int8":
            raise UsageError("--sensitivity is for int8", "leave it out")
        # --mean and --std also say how the user's own images are normalised, --keep-fp32 also what int8 leaves alone.
        taken = ["--mean", "--std"] if self.images or self.calibrate else []
        taken += ["--keep-fp32"] if self.precision == "int8" else []
        given = [option for option in self.app.given() if option not in taken]
        if given and not takers:
            options = " and ".join(given)
            raise UsageError(f"{options} cannot be written to {' and '.join(self.targets)}", "add --to coreml")
        return [
            TargetRequest(
                target=name,
                recipe=self.recipe,
                precision=self.precision,
                version=versions.get(format_of(name).version or ""),
                rewrite=self.rewrite,
                app=self.app if name in takers else self._app_of_others(),
                calibrated=self.calibrate is not None,
                sensitivity=self.sensitivity,
                reads_images=bool(self.images or self.calibrate),
            )
            for name in dict.fromkeys(self.targets)
        ]

    def _app_of_others(self) -> AppOptions:
        """Returns what of an app's options concerns a target that takes none."""
        return AppOptions(keep_fp32=self.app.keep_fp32 if self.precision == "int8" else ())


@dataclass(frozen=True)
class ExportReport:
    """Everything that is known about one exported artifact; the JSON report has the same content."""

    model: str
    task: str
    reconstruction: bool
    weights: WeightsOrigin
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    artifact: Artifact
    recipe: str
    precision: Precision
    compression: Compression | None
    version: Mapping[str, int]
    ops_before: Mapping[str, int]
    ops_rewritten: Mapping[str, int]
    rewrites: tuple[RewriteResult, ...]
    parity: ParityReport
    accuracy: Accuracy | None
    seconds: Mapping[str, float]
    tool_versions: Mapping[str, str | None]
    warnings: tuple[str, ...]
    cached: bool = False


class ParityFailedError(CheckFailedError):
    """An artifact that does not compute what PyTorch computed; nothing was published.

    ``reports`` holds every target's report, those that passed too.
    """

    def __init__(self, reports: Sequence[ExportReport]) -> None:
        failed = [report for report in reports if report.parity.status == "failed"]
        super().__init__(
            "\n".join(f"{report.artifact.target}: {report.parity.reason}" for report in failed),
            f"nothing was written; {_advise(failed)}",
        )
        self.reports = tuple(reports)


def _advise(failed: Sequence[ExportReport]) -> str:
    """Returns the next step, by what failed."""
    reasons = [reason for report in failed for leg in report.parity.legs for reason in leg.reasons]
    if any("NaN or infinite" in reason for reason in reasons):
        return (
            "values left the range of half precision: --keep-fp32 MODULE keeps a module in float32, or --precision fp32"
        )
    if any(result.applied for report in failed for result in report.rewrites):
        return "--no-rewrite tells whether a rewrite is the cause"
    return "the first leg that failed tells the step that is the cause"


class Clock:
    """Tells progress which stage begins, and adds up what each takes, in seconds."""

    def __init__(self, progress: Progress = lambda _stage: None) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}

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
        MvdError: any of the tree in ``errors``; ParityFailedError when an artifact computes something else.
    """
    plans = [plan_target(item) for item in request.target_requests()]
    with staging(request.folder) as work:
        key = export_cache.key_of(request) if request.cache else None
        if request.cache and key and not request.force:
            progress("looking for the same export")
            kept = export_cache.find(request.cache, key, work, request.model.checkpoint)
            if kept is not None:
                return _publish(kept, work, request.folder, progress)
        clock = Clock(progress)
        with clock.stage("load", f"loading {request.model.name}"):
            model = load_model(request.model)
        with clock.stage("capture", "capturing the graph with torch.export"):
            preparation = request.app.preprocessing()
            prepared = prepare(model, request.images, request.largest_count, request.calibrate, preparation)
            for plan in plans:
                check_app(plan, prepared)
        if prepared.given:  # once for all targets
            with clock.stage("verify", "running PyTorch on your images"):
                classes = classify(TorchRunner(model.module), prepared.given, model.input_shape[0], progress)
                prepared = replace(prepared, given_classes=classes)
        reports = []
        for plan in plans:
            own_clock = Clock(progress)
            own_clock.seconds |= clock.seconds
            reports.append(export_one(plan, prepared, work, own_clock))
        if any(report.parity.status == "failed" for report in reports):
            raise ParityFailedError([_with_final_path(report, request.folder) for report in reports])
        if request.cache and key:
            export_cache.keep(request.cache, key, reports, work)
        return _publish(reports, work, request.folder, progress)


def _publish(reports: Sequence[ExportReport], work: Path, folder: Path, progress: Progress) -> list[ExportReport]:
    """Writes the reports beside the artifacts and moves all to their final names."""
    progress(f"publishing into {folder}")
    final = [_with_final_path(report, folder) for report in reports]
    for report in final:
        write_report(report, work)
    publish(work, folder)
    return final


def export_one(plan: Plan, prepared: Prepared, work: Path, clock: Clock) -> ExportReport:
    """Rewrites, converts and verifies one model for one target, into a folder and without publishing it.

    Raises:
        ConversionError: the converter refused the graph. A file that fails its parity raises nothing here.
    """
    target, model, captured = plan.recipe.target, prepared.model, prepared.captured
    with clock.stage("rewrite", f"{target}: rewriting the graph and proving each rewrite"):
        ready = ready_for_target(plan, prepared)
    comparison = Comparison()
    with clock.stage("verify", f"{target}: comparing the rewritten graph with PyTorch"):
        expected = expect_for_target(prepared, ready)
        warnings = (*ready.warnings, *compare_graph(plan, prepared, ready, expected, comparison))
    with tempfile.TemporaryDirectory(prefix="mvd-steps-") as steps:
        with clock.stage("convert", f"{target}: converting"):
            artifact = convert_for_target(plan, prepared, ready, work, Path(steps))
        with clock.stage("verify", f"{target}: comparing {artifact.path.name} with PyTorch"):
            own = expect_for_artifact(prepared, ready, expected)
            compare_artifact(plan, ready, artifact, expected, comparison, own)
            if plan.app.sizes:
                compare_other_sizes(plan, prepared, ready, artifact, comparison)
            accuracy = _measure_accuracy(prepared, ready, artifact, clock)
    parity = comparison.report()
    return ExportReport(
        model=model.name,
        task=model.task,
        reconstruction=bool(model.card and model.card.family.reconstruction),
        weights=model.weights,
        input=captured.input,
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
        warnings=(*warnings, *artifact.warnings, *_warn_of_loss(parity, plan, trained=model.weights.trained)),
    )


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


def _measure_accuracy(prepared: Prepared, ready: ReadyForTarget, artifact: Artifact, clock: Clock) -> Accuracy | None:
    if prepared.given is None or prepared.given_classes is None:
        return None
    return measure_given(
        prepared.given_classes,
        prepared.given,
        prepared.model.input_shape[0],
        borders_of(ready),
        runners_for(artifact.target, artifact.path),
        clock.progress,
    )


def _with_final_path(report: ExportReport, folder: Path) -> ExportReport:
    return replace(report, artifact=replace(report.artifact, path=folder / report.artifact.path.name))
