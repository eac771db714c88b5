"""Parity of what lies on disk: an artifact beside the model that it says it was made from, or that it is given."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mobilevit_deploy import provenance
from mobilevit_deploy.accuracy import Accuracy
from mobilevit_deploy.artifact import FileDescription, measure_files
from mobilevit_deploy.catalog import Precision, Recipe
from mobilevit_deploy.checkpoint import WeightsChoice
from mobilevit_deploy.divergence import Divergence
from mobilevit_deploy.errors import ArtifactError, CheckFailedError, UsageError
from mobilevit_deploy.images import read_images
from mobilevit_deploy.legs import choose_tolerance, compare_unrounded, expect, measure_given
from mobilevit_deploy.load import LoadedModel, WeightsOrigin, load_model
from mobilevit_deploy.locate import locate
from mobilevit_deploy.origin import find_recipe, model_request
from mobilevit_deploy.parity import ARTIFACT, Candidate, Comparison, Expected, ParityReport
from mobilevit_deploy.pipeline import structured_images
from mobilevit_deploy.provenance import Provenance
from mobilevit_deploy.reconstruct import convert_in_float32, reconstruct
from mobilevit_deploy.runners import runners_for
from mobilevit_deploy.runners.borders import Borders
from mobilevit_deploy.targets import describe_file

Progress = Callable[[str], None]


@dataclass(frozen=True)
class VerifyRequest:
    """What to verify; ``None`` leaves the choice to the artifact's own metadata.

    Attributes:
        artifact: a ``.onnx`` file or an ``.mlpackage`` folder.
        model: of the catalog, or ``file.py:function``.
        checkpoint: with the weights.
        weights: of that checkpoint.
        recipe: whose tolerances hold.
        images: the user's own, at most ``largest_count`` of them, see ``read_images``.
        tight: hold a half-precision file to float32's tolerance, by converting the model again.
        locate: find the first module that diverges.
    """

    artifact: Path
    model: str | None = None
    checkpoint: Path | None = None
    weights: WeightsChoice | None = None
    recipe: str | None = None
    images: Path | None = None
    largest_count: int | None = None
    tight: bool = False
    locate: bool = False


@dataclass(frozen=True)
class VerifyReport:
    """What was found of one artifact.

    ``divergence`` is what ``locate`` found: None where nothing diverges, or where it was not asked for.
    """

    artifact: Path
    target: str
    sha256: str
    bytes: int
    model: str
    weights: WeightsOrigin
    precision: Precision
    parity: ParityReport
    accuracy: Accuracy | None
    located: bool
    divergence: Divergence | None
    warnings: tuple[str, ...]
    seconds: float = field(default=0.0)


class VerifyFailedError(CheckFailedError):
    """An artifact that does not compute what PyTorch computes, with its report."""

    def __init__(self, report: VerifyReport) -> None:
        hint = f"mvd verify {report.artifact} --locate names the first module that differs"
        super().__init__(f"{report.artifact.name}: {report.parity.reason}", None if report.located else hint)
        self.report = report


def verify_artifact(request: VerifyRequest, progress: Progress = lambda _line: None) -> VerifyReport:
    """Compares an artifact with PyTorch.

    Raises:
        ArtifactError: the file is damaged, or no runner here can run it.
        MvdError: the model or its weights cannot be found or loaded.
        VerifyFailedError: it computes something else.
    """
    start = time.perf_counter()
    file = describe_file(request.artifact)
    noted = provenance.parse(file.metadata, file.path.name)
    recipe = find_recipe(file, noted, request.recipe)
    progress(f"loading {request.model or (noted.model if noted else 'the model')}")
    wanted, warnings = model_request(
        file, noted, model=request.model, checkpoint=request.checkpoint, weights=request.weights
    )
    model = load_model(wanted)
    borders = _borders(file, noted)
    precision = noted.precision if noted else recipe.default_precision
    if request.tight:
        _refuse_tight(precision, noted)
    progress(f"comparing {file.path.name} with PyTorch")
    comparison, expected = _compare(file, noted, recipe, precision, model, borders)
    if request.tight:
        progress("converting the model again in float32")
        _compare_tightly(file, noted, recipe, model, borders, expected, comparison)
    parity = comparison.report()
    accuracy = _measure(request, file, model, borders, progress)
    divergence = None
    if request.locate and parity.status == "failed":
        progress("comparing every intermediate value")
        divergence = locate(file, noted, recipe, precision, model)
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
        seconds=round(time.perf_counter() - start, 3),
    )
    if parity.status == "failed":
        raise VerifyFailedError(report)
    if parity.status == "not_measured":
        raise ArtifactError(f"{file.path.name} was not verified: {parity.reason}")
    return report


def _borders(file: FileDescription, noted: Provenance | None) -> Borders:
    image = noted.image if noted else None
    if file.image and image is None:
        raise ArtifactError(
            f"{file.path.name} takes an image, and does not say how its model's images are normalised",
            "verify a package that mvd exported, or one that takes an array",
        )
    return Borders(image if file.image else None, file.probabilities)


def _compare(
    file: FileDescription,
    noted: Provenance | None,
    recipe: Recipe,
    precision: Precision,
    model: LoadedModel,
    borders: Borders,
) -> tuple[Comparison, Expected]:
    """Compares at every size that the artifact takes; returns what was expected at the first."""
    tolerance = choose_tolerance(recipe, precision, noted.prune if noted else None)
    comparison, first = Comparison(), None
    for entry in file.entries:
        sized = replace(model, input_shape=entry.shape)
        names = [output.name for output in file.outputs]
        expected = expect(sized.module, structured_images(sized), entry.shape[0], names, borders)
        openers = borders.openers(runners_for(file.target, file.path, entry.function))
        comparison.add(Candidate(ARTIFACT, precision, tolerance, openers), expected)
        first = first or expected
    assert first is not None  # a description has at least one entry
    return comparison, first


def _compare_tightly(
    file: FileDescription,
    noted: Provenance | None,
    recipe: Recipe,
    model: LoadedModel,
    borders: Borders,
    expected: Expected,
    comparison: Comparison,
) -> None:
    """Adds the legs of the export's own float32 conversion, made again."""
    with tempfile.TemporaryDirectory(prefix="mvd-float32-") as folder:
        made = reconstruct(noted, file, recipe, model)
        path = convert_in_float32(made, noted, file, recipe, Path(folder))
        openers = borders.openers(runners_for(file.target, path))[:1]
        comparison.add(Candidate("float32 conversion", "fp32", recipe.tolerances["fp32"], openers), expected)
        compare_unrounded(
            file.target,
            path,
            file.path,
            expected,
            recipe,
            borders,
            comparison,
            file.entries[0].function,
            noted.precision if noted else "fp16",
        )


def _refuse_tight(precision: Precision, noted: Provenance | None) -> None:
    if precision in ("fp16", "int8") and not (noted and (noted.prune or noted.keep_fp32)):
        return
    raise UsageError(
        "--tight is for half-precision and int8 files without compression, pruning or modules kept in float32",
        "an fp32 file is held to float32's tolerance already" if precision == "fp32" else "leave it out",
    )


def _measure(
    request: VerifyRequest, file: FileDescription, model: LoadedModel, borders: Borders, progress: Progress
) -> Accuracy | None:
    if request.images is None:
        return None
    _, *size = model.input_shape
    given = read_images(request.images, (size[0], size[1], size[2]), model.preprocessing, request.largest_count)
    openers = runners_for(file.target, file.path, file.entries[0].function)
    return measure_given(model.module, given, model.input_shape[0], borders, openers, progress)
