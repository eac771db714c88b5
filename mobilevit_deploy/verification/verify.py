"""Parity of what lies on disk: an artifact beside the model that it says it was made from, or that it is given."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.calibration import STRUCTURED
from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.catalog.recipe import Precision, Recipe
from mobilevit_deploy.errors import ArtifactError, CheckFailedError, ModelCodeError, UsageError
from mobilevit_deploy.graph.capture import graph_of
from mobilevit_deploy.graph.source_lines import root_cause
from mobilevit_deploy.images.annotations import Annotations
from mobilevit_deploy.images.batches import fill_batches
from mobilevit_deploy.loading.checkpoint import Selection
from mobilevit_deploy.loading.model import LoadedModel, load_model
from mobilevit_deploy.pipeline import provenance
from mobilevit_deploy.pipeline.given_images import GivenImages, ImagesRequest, read_given
from mobilevit_deploy.pipeline.origin import (
    adds_softmax,
    check_library_weights,
    find_recipe,
    model_request,
    takes_channels_last,
    with_channels_first,
)
from mobilevit_deploy.pipeline.prepare import structured_images
from mobilevit_deploy.pipeline.provenance import Provenance, hash_labels
from mobilevit_deploy.pipeline.reconstruct import Reconstructed, reconstruct
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.runners.base import Runner
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.targets.artifact import FileDescription
from mobilevit_deploy.targets.contents import Integrity
from mobilevit_deploy.targets.quantization import HELD_OUT_IMAGES
from mobilevit_deploy.targets.registry import describe_file, runners_for
from mobilevit_deploy.verification.accuracy.measure import Accuracy, run_baseline
from mobilevit_deploy.verification.before_decision import compare_before
from mobilevit_deploy.verification.expected import Expected
from mobilevit_deploy.verification.explain import explain_doubts
from mobilevit_deploy.verification.integrity import largest_unseen, read_integrity, report_change
from mobilevit_deploy.verification.leg import ARTIFACT, Candidate
from mobilevit_deploy.verification.legs import (
    GIVEN,
    OTHER_IMAGES_TOLERANCE,
    choose_tolerance,
    expect,
    optimizations_of,
)
from mobilevit_deploy.verification.locate import locate
from mobilevit_deploy.verification.own_loss import open_rounded
from mobilevit_deploy.verification.parity import Comparison
from mobilevit_deploy.verification.precision_loss import why_accepted
from mobilevit_deploy.verification.report import VerifyFailedError, VerifyReport
from mobilevit_deploy.verification.tight import SameExport, hold_tightly

NO_DIGESTS = "has no digests: what changes its outputs by less than {:.0e} of the largest value may not be seen"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class VerifyRequest:
    """What to verify; ``None`` leaves the choice to the artifact's own metadata.

    Attributes:
        artifact: a ``.onnx`` file or an ``.mlpackage`` folder.
        model: of the catalog, or ``file.py:function``.
        checkpoint: with the weights.
        selection: of that checkpoint.
        pretrained: take the library's own weights, which may download them.
        arguments: of the model, by name.
        recipe: whose tolerances hold.
        images: the user's own, at most ``largest_count`` of them, see ``read_images``.
        annotations: what is known of these, where the model has a head.
        tight: hold the file to float32's tolerance, by converting the model again.
        locate: find the first module that diverges.
    """

    artifact: Path
    model: str | None = None
    checkpoint: Path | None = None
    selection: Selection | None = None
    pretrained: bool = False
    arguments: Mapping[str, object] = field(default_factory=dict)
    recipe: str | None = None
    images: Path | None = None
    largest_count: int | None = None
    annotations: Annotations = field(default_factory=Annotations)
    tight: bool = False
    locate: bool = False


def verify_artifact(request: VerifyRequest, progress: Progress = lambda _line: None) -> VerifyReport:
    """Compares an artifact with PyTorch.

    Raises:
        ArtifactError: the file is damaged, or no runner here can run it.
        MvdError: the model or its weights cannot be found or loaded.
        VerifyFailedError: it computes something else.
    """
    start = time.perf_counter()
    integrity, noted = read_integrity(request.artifact)
    if noted and integrity.status == "changed" and not request.locate:  # nothing needs to be loaded or run to say so
        raise VerifyFailedError(report_change(request.artifact, integrity, noted, start))
    return _verify(request, integrity, start, progress)


def _verify(request: VerifyRequest, integrity: Integrity, start: float, progress: Progress) -> VerifyReport:
    """Runs the artifact beside PyTorch."""
    file = describe_file(request.artifact)
    noted = provenance.parse(file.metadata, file.path.name)
    _check_app(file, noted)
    file = with_channels_first(file, noted)
    recipe = find_recipe(file, noted, request.recipe)
    progress(f"loading {request.model or (noted.model if noted else 'the model')}")
    wanted, warnings = model_request(
        file,
        noted,
        model=request.model,
        checkpoint=request.checkpoint,
        selection=request.selection,
        pretrained=request.pretrained,
        arguments=request.arguments,
    )
    model = load_model(wanted)
    warnings += check_library_weights(file, noted, model)
    borders = _borders(file, noted, model)
    precision = noted.precision if noted else "fp16" if file.half else "fp32"
    if not noted and request.checkpoint is None and not catalog.is_own_code(wanted.name):
        warnings.append("compared with random weights: --checkpoint FILE gives those that the file was made from")
    if request.tight and precision == "fp32":
        raise UsageError("--tight, but an fp32 file is held to float32's tolerance already", "leave --tight out")
    progress(f"comparing {file.path.name} with PyTorch")
    given = _read_given(request, model, file, noted)
    own = given if precision == "int8" else None
    made = cache(lambda: reconstruct(noted, file, recipe, model))  # takes seconds, and all below may need it
    comparison, expected = _compare(file, noted, recipe, precision, model, borders, own, made)
    artifact = (file.target, file.path, file.entries[0].function)
    compare_before(model, *artifact, borders, recipe, precision, noted.prune if noted else None, comparison)
    if precision == "fp32":
        explain_doubts(made, file, noted, comparison, {ARTIFACT: file.path})
    allowed = noted is not None and noted.allow_precision_loss
    accepted = why_accepted(trained=model.weights.trained, allowed=allowed)
    # What a precision costs is accepted of a conversion that is proved, and that takes the export's own legs. So do
    # outputs that are the same for every image.
    doubtful = comparison.constant and precision != "fp32"
    due = bool(noted and (doubtful or (accepted and any(leg.lossy for leg in comparison.legs))))
    export = SameExport(made, file, noted, recipe, precision, borders)
    notes = hold_tightly(export, model, expected, comparison, progress, asked=request.tight or due)
    parity = comparison.report(accepted)
    if integrity.reason:
        reasons = filter(None, (integrity.reason, parity.reason))
        parity = replace(parity, status="failed", reason="; ".join(reasons))
    unseen = largest_unseen(parity.legs)
    if integrity.status == "not noted" and unseen:
        notes.append(f"{file.path.name} {NO_DIGESTS.format(unseen)}")
    accuracy = _measure(given, file, model, borders, progress)
    divergence = None
    if request.locate and (parity.status == "failed" or parity.precision_loss):
        progress("comparing every intermediate value")
        try:
            divergence = locate(made(), file, noted, recipe, precision)
        except ArtifactError as error:  # such as a file from elsewhere, whose names say nothing
            warnings.append(f"not located: {error.message}")
    sha256, size = measure_files(file.path)
    report = VerifyReport(
        artifact=file.path,
        target=file.target,
        sha256=sha256,
        bytes=size,
        model=model.name,
        weights=model.weights,
        precision=precision,
        parity=parity,
        accuracy=accuracy,
        located=request.locate,
        divergence=divergence,
        warnings=tuple(warnings),
        integrity=integrity,
        unseen=unseen,
        notes=tuple(notes),
        seconds=round(time.perf_counter() - start, 3),
    )
    if parity.status == "failed":
        raise VerifyFailedError(report)
    if parity.status == "not_measured":
        raise ArtifactError(f"{file.path.name} was not verified: {parity.reason}")
    return report


def _check_app(file: FileDescription, noted: Provenance | None) -> None:
    """Raises CheckFailedError when what an app relies on is not what the export wrote."""
    if noted is None:
        return
    if file.color and noted.image and file.color != noted.image.color:
        raise CheckFailedError(
            f"{file.path.name} takes a {file.color} image, and was exported for {noted.image.color}", "export it again"
        )
    labels = file.labels[: noted.head.num_classes] if noted.head else file.labels  # a detector may have unused ones
    if noted.head or not format_of(file.target).writes(["--labels"]):  # which has no place for them but the note
        labels = labels or noted.classes
    if noted.labels_sha256 and hash_labels(labels) != noted.labels_sha256:
        raise CheckFailedError(f"the labels of {file.path.name} are not those of its export", "export it again")


def _borders(file: FileDescription, noted: Provenance | None, model: LoadedModel) -> Borders:
    image = noted.image if noted else None
    if file.image and image is None:
        raise ArtifactError(
            f"{file.path.name} takes an image, and does not say how its model's images are normalised",
            "verify a package that mvd exported, or one that takes an array",
        )
    decision, chosen_by = (model.head.decision, model.head.chosen_by) if model.head else (None, None)
    taken = image if file.image else None
    return Borders(taken, adds_softmax(file, noted), takes_channels_last(file, noted), decision, chosen_by)


def _compare(
    file: FileDescription,
    noted: Provenance | None,
    recipe: Recipe,
    precision: Precision,
    model: LoadedModel,
    borders: Borders,
    own: GivenImages | None,
    made: Callable[[], Reconstructed],
) -> tuple[Comparison, Expected]:
    """Compares at every size that the artifact takes; returns what was expected at the first.

    An int8 file's ranges hold images of the kind that it was calibrated on, so it is compared on the user's ``own``.
    """
    tolerance = choose_tolerance(recipe, precision, noted.prune if noted else None)
    if own is None and noted and noted.calibration and noted.calibration.source != STRUCTURED:
        tolerance = tolerance.model_copy(update=OTHER_IMAGES_TOLERANCE)
    comparison, first = Comparison(), None
    for i, entry in enumerate(file.entries):
        sized = model if model.inputs else replace(model, input_shape=entry.shape)
        names = [output.name for output in file.outputs]
        try:
            expected = expect(sized.module, structured_images(sized), sized.input_shape[0], names, borders)
        except Exception as error:  # the model is the user's, and may be another than the artifact's
            raise ModelCodeError(
                f"{model.name} does not run as {file.path.name} does, on {list(entry.shape)}: {root_cause(error)}",
                "is it the model that the artifact was made from?",
            ) from error
        openers = borders.openers(runners_for(file.target, file.path, entry.function))
        first = first or expected
        if own is not None:
            images = fill_batches(own.images[:HELD_OUT_IMAGES], entry.shape[0])
            expected = expect(sized.module, images, entry.shape[0], names, borders, GIVEN)
        # Made for the first size; what compression loses is proved by the export, made again.
        rounded = partial(_open_rounded, made, borders, noted) if i == 0 and precision == "fp16" else None
        optimizations = optimizations_of(file.target, file.path, borders)
        comparison.add(Candidate(ARTIFACT, precision, tolerance, openers, rounded, optimizations), expected)
    assert first is not None  # a description has at least one entry
    return comparison, first


def _open_rounded(made: Callable[[], Reconstructed], borders: Borders, noted: Provenance | None) -> Runner:
    opener = open_rounded(graph_of(made().program), borders, noted.keep_fp32 if noted else ())
    assert opener is not None  # what is opened here needs no other machine
    return opener()


def _read_given(
    request: VerifyRequest, model: LoadedModel, file: FileDescription, noted: Provenance | None
) -> GivenImages | None:
    if request.images is None:
        request.annotations.check(None, model.task, None)
        return None
    names = file.labels[: model.head.num_classes] if model.head else ()  # a detector may have unused ones
    images = ImagesRequest(request.images, request.largest_count, request.annotations, tuple(names))
    return read_given(model, images, model.preprocessing or (noted.image_preparation() if noted else None))


def _measure(
    given: GivenImages | None, file: FileDescription, model: LoadedModel, borders: Borders, progress: Progress
) -> Accuracy | None:
    if given is None:
        return None
    openers = runners_for(file.target, file.path, file.entries[0].function)
    return run_baseline(model, given, progress).measure(borders, openers, progress)
