"""What an app has to know of a file: what it takes, how an image becomes that, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.errors import ArtifactError, printable
from mobilevit_deploy.graph.capture import TensorSpec
from mobilevit_deploy.pipeline import provenance
from mobilevit_deploy.pipeline.provenance import Provenance
from mobilevit_deploy.report.table import precision_name, shorten
from mobilevit_deploy.targets.artifact import FileDescription
from mobilevit_deploy.targets.registry import describe_file
from mobilevit_deploy.verification.prediction.reading import reading_of

MOST_NAMES = 3  # of classes
LONGEST = 100  # characters of a text that a file has of itself
MOST_OUTPUTS = 6  # a detector without its own suppression has dozens


@dataclass(frozen=True)
class Interface:
    """What a file says of itself.

    Attributes:
        facts: a line for each side of it.
        prepares: whether it says how its images are normalised.
        answers: whether ``mvd predict`` can show what it returns for a picture.
    """

    facts: Mapping[str, str]
    prepares: bool
    answers: bool


def read_interface(path: Path, *, verbose: bool = False) -> Interface:
    """Reads a file, which takes as long as its weights are many; raises ArtifactError where it cannot be read.

    Args:
        path: of the artifact.
        verbose: also how a picture is resized and cropped.
    """
    file = describe_file(path)
    noted = provenance.parse(file.metadata, path.name)
    facts = {
        "is": _is(file, noted),
        "takes": _takes(file, noted),
        "returns": _returns(file),
        "classes": _classes(file, noted),
    }
    if verbose and noted and noted.preprocessing:
        facts["pictures"] = noted.preprocessing.description
    prepares = noted is not None and noted.image_preparation() is not None
    return Interface({key: printable(text) for key, text in facts.items() if text}, prepares, _answers(file, noted))


def _answers(file: FileDescription, noted: Provenance | None) -> bool:
    if noted is None or noted.inputs:
        return False
    try:
        reading_of(file, noted, top=1)
    except ArtifactError:
        return False
    return True


def _is(file: FileDescription, noted: Provenance | None) -> str:
    known = format_of(file.target)
    if noted is None:
        return f"{known.title}, not written by mvd"
    version = f" {known.version} {noted.target_version}" if known.version and noted.target_version else ""
    weights = f"weights of {noted.weights}" if noted.trained else "UNTRAINED"
    model = f"{noted.model[:LONGEST]}, {noted.task}, {weights[:LONGEST]}"
    return f"{known.title}{version}, {precision_name(noted.precision)}; {model}"


def _takes(file: FileDescription, noted: Provenance | None) -> str:
    tensors = ", ".join(map(_tensor, file.inputs))
    if noted is None or noted.inputs:
        return tensors
    if file.image and noted.image:
        values = f"{file.color or noted.image.color} image, values 0 to 255; the file itself takes "
        return f"{tensors}: {values}{_normalisation(noted.image.mean, noted.image.std)}"
    layout = ", channels last" if noted.layout == "nhwc" else ""
    how = noted.image_preparation()
    if how is None:
        return f"{tensors}{layout}: normalised as in training (no --mean, --std)"
    return f"{tensors}{layout}: {_prepared(how)}"


def _prepared(how: Preprocessing) -> str:
    step = -1 if how.color == "BGR" else 1  # as the channels stand in the array
    return f"{how.color} image, values 0 to 1, then {_normalisation(how.mean[::step], how.std[::step])}"


def _normalisation(mean: Sequence[float], std: Sequence[float]) -> str:
    means, stds = (" ".join(f"{value:g}" for value in values) for values in (mean, std))
    return f"(value - mean) / std of mean {means}, std {stds}"


def _returns(file: FileDescription) -> str:
    chosen = file.outputs[:MOST_OUTPUTS]
    rest = f" and {len(file.outputs) - len(chosen)} more" if len(file.outputs) > len(chosen) else ""
    return f"{', '.join(map(_tensor, chosen))}{rest}"


def _classes(file: FileDescription, noted: Provenance | None) -> str:
    if noted is None or noted.task == "features":
        return ""
    scores = [spec.shape[-1] for spec in file.outputs[:1] if len(spec.shape) == 2]  # what is no vector has no classes
    count = noted.head.num_classes if noted.head else len(file.labels) or next(iter(scores), 0)
    if not count:
        return ""
    names = noted.classes or file.labels[:count]
    return f"{count}: {shorten(names, MOST_NAMES)}" if len(names) == count else f"{count}, without names"


def _tensor(spec: TensorSpec) -> str:
    shape = "x".join(str(size or "N") for size in spec.shape)
    steps = f"of {spec.steps.scale:.6g} * (number {-spec.steps.zero_point:+d})" if spec.steps else ""
    return " ".join(filter(None, [spec.name[:LONGEST], shape, spec.type, steps]))
