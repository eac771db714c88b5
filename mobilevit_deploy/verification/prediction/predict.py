"""``predict``: an artifact is run on pictures, each prepared as the artifact says that its model's authors do it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mobilevit_deploy.errors import ArtifactError, MvdError, UsageError
from mobilevit_deploy.images.batches import batches
from mobilevit_deploy.images.image_files import ImageFiles, pictures_below
from mobilevit_deploy.images.pictures import readable
from mobilevit_deploy.images.preparation import spread
from mobilevit_deploy.loading.checkpoint import Selection
from mobilevit_deploy.loading.class_names import ClassNames
from mobilevit_deploy.loading.model import load_model
from mobilevit_deploy.pipeline.origin import adds_softmax, check_library_weights, model_request, takes_channels_last
from mobilevit_deploy.pipeline.provenance import Provenance
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.runners.base import NotMeasured, Runner
from mobilevit_deploy.runners.reference import TorchRunner
from mobilevit_deploy.targets.app_options import read_labels
from mobilevit_deploy.targets.artifact import FileDescription
from mobilevit_deploy.targets.registry import runners_for
from mobilevit_deploy.verification.prediction.picture_input import preparation_of, read_artifact
from mobilevit_deploy.verification.prediction.reading import Found, reading_of

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PredictRequest:
    """What to look at, and by what.

    Attributes:
        artifact: a file of any target.
        images: pictures, and folders of them.
        largest_count: take no more than this many pictures of a folder, spread over it.
        labels: a text file with the classes' names, one a line; None for those that the artifact has.
        top: how many classes are named.
        mean: per RGB channel, of values in [0, 1], in place of what the artifact says; with ``std``.
        std: likewise.
        reference: run PyTorch beside it.
        model: of the catalog, or ``file.py:function``, for PyTorch; None for what the artifact names, as of the rest.
        checkpoint: with the weights.
        selection: of that checkpoint.
        pretrained: take the library's own weights, which may download them.
        arguments: of the model, by name.
    """

    artifact: Path
    images: Sequence[Path]
    largest_count: int = 24
    labels: Path | None = None
    top: int = 5
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    reference: bool = False
    model: str | None = None
    checkpoint: Path | None = None
    selection: Selection | None = None
    pretrained: bool = False
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Predicted:
    """What was found in one picture by the artifact, and by PyTorch where that was asked."""

    image: Path
    found: Found
    reference: Found | None = None


@dataclass(frozen=True)
class PredictReport:
    """What was found in all pictures.

    Attributes:
        artifact: the file.
        target: of it.
        runner: what computed it.
        trained: whether its weights are trained ones.
        classes: names and colours; empty where nobody told them.
        predictions: of each picture, in order.
        warnings: for the user.
        weights_sha256: of what its weights were loaded from; None where the file does not say.
    """

    artifact: Path
    target: str
    runner: str
    trained: bool
    classes: ClassNames
    predictions: tuple[Predicted, ...]
    warnings: tuple[str, ...]
    weights_sha256: str | None = None

    def name(self, label: int) -> str:
        """Returns what a class is called, or its number."""
        names = self.classes.names
        return names[label] if 0 <= label < len(names) else f"class {label}"


def predict(request: PredictRequest, progress: Progress = lambda _line: None) -> PredictReport:
    """Runs an artifact on pictures.

    Raises:
        ArtifactError: the file is damaged, nothing here can run it, it does not say how its images are prepared, or
            what it returns is no answer about a picture.
        MvdError: a picture or the labels cannot be read, or PyTorch's model or weights cannot be found.
        UsageError: the names are of another number than the classes.
    """
    file, noted = read_artifact(request.artifact)
    read = reading_of(file, noted, request.top)
    classes = _classes(request, file, noted)
    warnings: list[str] = []
    pictures = _pictures(request, file, noted, warnings)
    channels_last = takes_channels_last(file, noted)
    borders = Borders(noted.image if file.image else None, adds_softmax(file, noted), channels_last)
    reference = _reference(request, file, noted, borders, warnings, progress) if request.reference else None
    progress(f"opening {file.path.name}")
    runner = _open(file, borders)
    predictions: list[Predicted] = []
    for images, count in batches(pictures, file.entries[0].shape[0]):
        progress(f"running picture {len(predictions) + 1} of {len(pictures)}")
        outputs = runner.run(borders.images(images))
        expected = reference.run(borders.images(images)) if reference else None
        for i in range(count):
            image, fit = pictures.files[len(predictions)], pictures.fits[len(predictions)]
            found = read([output[i] for output in outputs], fit)
            beside = read([output[i] for output in expected], fit) if expected else None
            predictions.append(Predicted(image, found, beside))
    return PredictReport(
        artifact=file.path,
        target=file.target,
        runner=runner.name,
        trained=noted.trained,
        classes=classes,
        predictions=tuple(predictions),
        warnings=tuple(warnings),
        weights_sha256=noted.weights_sha256,
    )


def _open(file: FileDescription, borders: Borders) -> Runner:
    """Returns what runs the artifact here: the first runner that this machine has."""
    openers = borders.openers(runners_for(file.target, file.path, file.entries[0].function))
    missing = [opener.reason for opener in openers if isinstance(opener, NotMeasured)]
    for opener in openers:
        if not isinstance(opener, NotMeasured):
            return opener()
    raise ArtifactError(f"nothing here runs {file.path.name}: {'; '.join(missing)}", "mvd doctor says what is missing")


def _classes(request: PredictRequest, file: FileDescription, noted: Provenance) -> ClassNames:
    """Returns the classes' names: the user's, or the artifact's."""
    count = noted.head.num_classes if noted.head else file.outputs[0].shape[-1]
    if request.labels:
        names = read_labels(request.labels)
        if len(names) != count:
            raise UsageError(
                f"{request.labels} has {len(names)} labels, {file.path.name} {count} classes", "give one line a class"
            )
    else:
        names = noted.classes or file.labels[:count]  # a detector may have unused ones
    return ClassNames(tuple(names) if len(names) == count else (), noted.palette if len(noted.palette) == count else ())


def _pictures(request: PredictRequest, file: FileDescription, noted: Provenance, warnings: list[str]) -> ImageFiles:
    """Returns the pictures, prepared as the artifact says; of a folder's those that can be read, and a warning."""
    preparation = preparation_of(file, noted, request.mean, request.std)
    files: list[Path] = []
    for path in request.images:
        if not path.exists():
            raise MvdError(f"there is no picture {path}", "give pictures, or a folder of them")
        if not path.is_dir():
            files.append(path)
            continue
        below = pictures_below(path)
        chosen = [below[i] for i in spread(len(below), min(len(below), request.largest_count))]
        there = readable(chosen, warnings)
        if not there:
            raise MvdError(
                f"{path} has no images" + (" that can be read" if chosen else ""), "give pictures, or a folder of them"
            )
        files += there
    pictures = ImageFiles.of(files, file.entries[0].shape[1:], preparation)  # whole, as a head takes them
    return pictures if noted.head else replace(pictures, preparation=preparation)


def _reference(
    request: PredictRequest,
    file: FileDescription,
    noted: Provenance,
    borders: Borders,
    warnings: list[str],
    progress: Progress,
) -> Runner:
    """Returns PyTorch, which is given normalised images and returns what the artifact returns."""
    progress(f"loading {request.model or noted.model}")
    wanted, notes = model_request(
        file,
        noted,
        model=request.model,
        checkpoint=request.checkpoint,
        selection=request.selection,
        pretrained=request.pretrained,
        arguments=request.arguments,
    )
    model = load_model(wanted)
    warnings += notes + check_library_weights(file, noted, model)
    decision = model.head.decision if model.head else None
    return replace(borders, decision=decision).reference(TorchRunner(model.module))
