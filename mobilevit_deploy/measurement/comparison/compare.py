"""From artifacts to one comparison, the first of them its base."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy.catalog.formats import format_of, tool_versions
from mobilevit_deploy.errors import ArtifactError, UsageError
from mobilevit_deploy.images.test_images import IMAGENET_MEAN, IMAGENET_STD
from mobilevit_deploy.measurement.comparison.accuracy import Counted, OwnImages, count_classes
from mobilevit_deploy.measurement.comparison.alternate import PRECISION, Alternated, alternate
from mobilevit_deploy.measurement.comparison.drift import Drift, compare_outputs, run
from mobilevit_deploy.measurement.comparison.ratio import FEWEST_GROUPS, Ratio
from mobilevit_deploy.measurement.comparison.subject import Subject, open_subject
from mobilevit_deploy.measurement.latency.cores import AUTO, choose_cores
from mobilevit_deploy.measurement.latency.process import Session, worker_of
from mobilevit_deploy.measurement.latency.stability import OTHERS_LIMIT, WAITING_LIMIT, Conditions
from mobilevit_deploy.pipeline.origin import returns_detections, weights_digest
from mobilevit_deploy.system.environment import check_seconds, choose_threads, count_threads
from mobilevit_deploy.system.hardware import machine
from mobilevit_deploy.system.hashing import measure_files

Progress = Callable[[str], None]

SECONDS = 60.0
DETECTIONS = "detections have no distance: mvd verify matches them with PyTorch's, and --boxes gives their precision"


@dataclass(frozen=True)
class ComparisonRequest:
    """Which artifacts to compare, and how.

    Attributes:
        artifacts: ``.onnx`` files and ``.mlpackage`` folders, the base first.
        threads: of one run; None for as many as there are cores.
        seconds: time limit of the timing of all artifacts together.
        size: (height, width) or (channels, height, width) for sizes that an ONNX file leaves free.
        mean: that images are normalised with for artifacts that do not take pixels.
        std: likewise.
        pin: ``auto``, ``none`` or core numbers.
        images: the user's own, at most ``largest_count`` of them, see ``read_images``.
    """

    artifacts: Sequence[Path]
    threads: int | None = None
    seconds: float = SECONDS
    size: tuple[int, ...] | None = None
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    pin: str = AUTO
    images: Path | None = None
    largest_count: int | None = None


@dataclass(frozen=True)
class Compared:
    """One artifact beside the base.

    Attributes:
        artifact: the file or folder.
        target: its format.
        sha256: of its content.
        bytes: its size.
        input_shape: that it was run with.
        p50_ms: median of its rounds; None without latency.
        ratio: of its times to the base's; None without latency.
        latency_reason: why there is none.
        drift: of its outputs from the base's.
        accuracy: on the user's own images; None without any.
    """

    artifact: Path
    target: str
    sha256: str
    bytes: int
    input_shape: tuple[int, ...]
    p50_ms: float | None
    ratio: Ratio | None
    latency_reason: str | None
    drift: Drift
    accuracy: Counted | None = None


@dataclass(frozen=True)
class Comparison:
    """All artifacts, the base first; conditions are None where nothing was timed."""

    results: tuple[Compared, ...]
    threads: int
    conditions: Conditions | None
    warnings: tuple[str, ...]
    environment: Mapping[str, Any]


def compare_artifacts(request: ComparisonRequest, progress: Progress = lambda _stage: None) -> Comparison:
    """Compares artifacts with the first of them.

    Raises:
        UsageError: fewer than two artifacts, or free sizes without ``size``.
        ArtifactError: a file of another format.
        MeasurementError: a damaged ONNX file, or a run that failed.
        ConversionError: ONNX Runtime refuses a file.
    """
    if len(request.artifacts) < 2:
        raise UsageError("a comparison needs two artifacts", "mvd compare A B [...]; A is the base")
    check_seconds(request.seconds)
    subjects = [open_subject(path, request.size) for path in request.artifacts]
    threads = choose_threads(request.threads)
    drifts = _drifts(subjects, request, progress)
    counted = _count(subjects, request, progress)
    environment = {**machine(), "versions": tool_versions()}
    timed = [subject for subject in subjects if format_of(subject.target).worker]
    alternated = None
    if timed:
        limits = f"{FEWEST_GROUPS} groups of processes at least, up to {request.seconds:g} s"
        progress(f"timing {len(timed)} artifacts in turns, {count_threads(threads)}, {limits}")
        pin = choose_cores(request.pin, threads)
        sessions = [
            Session(
                item.path,
                threads,
                pin=pin,
                input_shape=None if item.no_image else item.shape,
                worker=worker_of(item.target),
            )
            for item in timed
        ]
        alternated = alternate(sessions, request.seconds)
    results = tuple(
        _compared(subject, drift, count, subjects[0], timed, alternated)
        for subject, drift, count in zip(subjects, drifts, counted, strict=True)
    )
    conditions = alternated.conditions if alternated else None
    warnings = (*_other_weights(request.artifacts), *_warnings(results, conditions))
    return Comparison(results, threads, conditions, warnings, environment)


def _other_weights(paths: Sequence[Path]) -> list[str]:
    """Returns a warning for each artifact that says that it was made from other weights than the base."""
    base, *others = ((path, weights_digest(path)) for path in paths)
    return [
        f"{path} has other weights than {base[0]}: its drift is not the conversion's alone"
        for path, digest in others
        if digest and base[1] and digest != base[1]
    ]


def _count(subjects: Sequence[Subject], request: ComparisonRequest, progress: Progress) -> Sequence[Counted | None]:
    """Returns what the user's images say of each artifact; nothing without images."""
    if request.images is None:
        return [None] * len(subjects)
    own = OwnImages(request.images, request.largest_count, request.mean, request.std)
    return count_classes(subjects, own, progress)


def _drifts(subjects: Sequence[Subject], request: ComparisonRequest, progress: Progress) -> list[Drift]:
    """Returns each artifact's drift, the base's own, which is none, first; no more than two outputs are kept."""
    if any(returns_detections(subject.path) for subject in subjects):
        return [Drift(), *[Drift(reason=DETECTIONS)] * (len(subjects) - 1)]
    base, drifts = None, []
    for subject in subjects:
        progress(f"running {subject.path.name} on structured images")
        outputs = run(subject, request.mean, request.std)
        if outputs.reason and not format_of(subject.target).worker:  # what is timed says there what is wrong
            raise ArtifactError(f"{subject.path.name} cannot be compared: {outputs.reason}")
        base = base or outputs
        drifts.append(compare_outputs(base, outputs, subjects[0], subject))
    return drifts


def _compared(
    subject: Subject,
    drift: Drift,
    counted: Counted | None,
    base: Subject,
    timed: Sequence[Subject],
    alternated: Alternated | None,
) -> Compared:
    sha256, size = measure_files(subject.path)
    reason, ratio, p50 = None, None, None
    if not format_of(subject.target).worker:
        reason = format_of(subject.target).no_latency
    elif alternated:
        index = next(i for i, item in enumerate(timed) if item is subject)
        p50 = alternated.p50_ms(index)
        if format_of(base.target).worker:
            ratio = alternated.ratio(index)
        else:
            reason = "no ratio, for the base has no latency here"
    return Compared(subject.path, subject.target, sha256, size, subject.shape, p50, ratio, reason, drift, counted)


def _warnings(results: Sequence[Compared], conditions: Conditions | None) -> tuple[str, ...]:
    """Returns what speaks against the figures."""
    found = [f"{item.artifact.name}: {item.drift.reason}" for item in results if item.drift.reason]
    found += [
        f"{item.artifact.name}: no accuracy: {item.accuracy.reason}"
        for item in results
        if item.accuracy and item.accuracy.reason
    ]
    batches = {item.input_shape[:1] for item in results if format_of(item.target).worker}
    if len(batches) > 1:
        found.append("the files have different batches, and the times are those of a batch")
    if conditions and (conditions.others_share > OTHERS_LIMIT or (conditions.waiting_share or 0) > WAITING_LIMIT):
        found.append("the machine was busy: the ratios allow for that, the times themselves are too long")
    wide = [item.ratio.precision for item in results[1:] if item.ratio and not item.ratio.precision <= 2 * PRECISION]
    if wide:
        found.append(f"a ratio is known to ±{max(wide):.1%} only: give more time with --seconds, or a quieter machine")
    return tuple(found)
