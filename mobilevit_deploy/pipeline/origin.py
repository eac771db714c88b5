"""Finding the model, the weights and the recipe that an artifact on disk was exported with."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.catalog.model_card import Task, WeightsChoice
from mobilevit_deploy.catalog.recipe import Recipe
from mobilevit_deploy.catalog.tensor_input import TensorInput
from mobilevit_deploy.errors import ArtifactError, CatalogError, CheckpointError, printable
from mobilevit_deploy.loading.checkpoint import Selection, checkpoint_digest
from mobilevit_deploy.loading.model import LoadedModel, ModelRequest
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.loading.source import find_source
from mobilevit_deploy.loading.weights_inside import is_average
from mobilevit_deploy.pipeline.provenance import Provenance, parse
from mobilevit_deploy.targets.artifact import FileDescription, report_name
from mobilevit_deploy.targets.registry import describe_file

LARGEST_REPORT = 16 * 2**20  # bytes
LARGEST_ARGUMENT = (
    2**15
)  # a number that a file has for the user's function, such as of classes: ImageNet-21k's are 21 841
MOST_NUMBERS = 64  # in a list of them, and lists in a list


def find_recipe(file: FileDescription, noted: Provenance | None, given: str | None) -> Recipe:
    """Returns the recipe whose tolerances hold; raises CatalogError where it is a user's own that was not given."""
    name = given or (noted.recipe if noted else file.target)
    if given is None and name not in catalog.recipes():
        raise CatalogError(
            f"{file.path.name} says that it was exported by the recipe {name[:80]!r}, which is none of mvd's",
            "mvd reads no recipe that a file names: add --recipe FILE",
        )
    recipe = catalog.recipe(name)
    if recipe.target != file.target or (noted and noted.precision not in recipe.tolerances):
        raise ArtifactError(f"recipe {recipe.name} writes nothing like {file.path.name}", "give its own with --recipe")
    return recipe


def model_request(
    file: FileDescription,
    noted: Provenance | None,
    *,
    model: str | None,
    checkpoint: Path | None,
    selection: Selection | None,
    pretrained: bool = False,
    arguments: Mapping[str, object] | None = None,
) -> tuple[ModelRequest, list[str]]:
    """Returns what to load as the reference, and warnings for the user.

    Args:
        file: the artifact.
        noted: what it says of itself; None for a file that mvd did not write.
        model: as given; None takes the card that the artifact names.
        checkpoint: as given; None looks for the one that the artifact names.
        selection: of the checkpoint, as given; None takes what the artifact took.
        pretrained: whether a library gives its own weights; as given, for that may download them.
        arguments: of the model, as given; those that were not given are the artifact's, where they are numbers.

    Raises:
        ArtifactError: nobody says which model it is, or what its function was given.
        CheckpointError: the checkpoint is not where it can be found.
    """
    warnings: list[str] = []
    name = model or _named_model(file, noted)
    given = dict(arguments or {})
    if noted and catalog.artifact_name(name) == noted.model and catalog.is_own_code(name):
        given = {**_noted_arguments(file, noted, given), **given}
    if noted and catalog.artifact_name(name) != noted.model:
        warnings.append(f"{file.path.name} says that it was made from {noted.model}, and is compared with {name}")
    same = True
    vouched = noted.weights if noted and noted.vouched and checkpoint is None and not pretrained else None
    if vouched is None and checkpoint is None and noted and noted.trained and not noted.pretrained and not pretrained:
        checkpoint = _find_checkpoint(file, noted)
    elif checkpoint and noted and noted.weights_sha256 is not None:
        same = _digest_if_there(checkpoint) == noted.weights_sha256
    if checkpoint and noted and not same:
        warnings.append(
            f"{checkpoint} is not the file that {file.path.name} was made from (that was {noted.weights}, SHA-256 "
            f"{(noted.weights_sha256 or 'unknown')[:12]})"
        )
    batch, *size = file.entries[0].shape
    inputs = _inputs(file, noted)
    classes = None
    task = _task(file, noted)
    if checkpoint is None and not catalog.is_own_code(name) and task == "classify":
        classes = file.outputs[0].shape[-1]
    if checkpoint is None and noted and noted.head and not noted.head.declaration:
        classes = noted.head.num_classes
    request = ModelRequest(
        name=name,
        task=task,
        checkpoint=checkpoint,
        selection=selection or (_selection(noted, same=same) if checkpoint else Selection()),
        num_classes=classes,
        size=None if inputs else tuple(size),
        batch=1 if inputs else batch,
        pretrained=pretrained,
        arguments=given,
        layout=noted.layout if noted else "nchw",
        inputs=inputs,
        head=noted.head.options() if noted and noted.head else HeadOptions(),
        vouched=vouched if catalog.is_own_code(name) and not find_source(name) else None,
    )
    return request, warnings


def _inputs(file: FileDescription, noted: Provenance | None) -> tuple[TensorInput, ...]:
    """Returns the inputs that an artifact was exported with, where the user named them.

    Raises:
        ArtifactError: they are not those of the file, or nobody says how they are fed.
    """
    inputs = noted.inputs if noted else ()
    names = ", ".join(spec.name for spec in file.inputs)
    if len(file.inputs) > 1 and not inputs:
        raise ArtifactError(
            f"{file.path.name} has the inputs {names}, and does not say what values they take",
            "mvd compares files with several inputs that it wrote itself, with --input",
        )
    found = {spec.name: spec.shape for spec in file.inputs}
    if inputs and found != {item.name: item.shape for item in inputs}:
        raise ArtifactError(
            f"{file.path.name} has the inputs {names}, and was exported, it says, with {', '.join(map(str, inputs))}",
            "export it again",
        )
    return inputs


def with_channels_first(file: FileDescription, noted: Provenance | None) -> FileDescription:
    """Returns a description whose entries are (B, C, H, W), as everything is here that compares."""
    if not takes_channels_last(file, noted):
        return file
    entries = []
    for entry in file.entries:
        batch, height, width, channels = entry.shape
        entries.append(replace(entry, shape=(batch, channels, height, width)))
    return replace(file, entries=tuple(entries))


def takes_channels_last(file: FileDescription, noted: Provenance | None) -> bool:
    """Tells whether an artifact's array is (B, H, W, C); not every target's image has axes that an app sees."""
    if file.image:
        return format_of(file.target).image_arrays
    return noted is not None and noted.layout == "nhwc"


def check_library_weights(file: FileDescription, noted: Provenance | None, model: LoadedModel) -> list[str]:
    """Returns warnings about weights that a library, or the user's code, loads by itself.

    Raises:
        CheckpointError: the file has them, and the model has random ones.
    """
    by_itself = noted and (noted.pretrained or noted.vouched)
    if noted is None or not by_itself or model.weights.sha256 == noted.weights_sha256:
        return []
    made_of = f"{file.path.name} was made from the weights of {noted.weights[:80]}"
    if not model.weights.trained:
        hint = "add --pretrained" if noted.pretrained else "name the code that loads them, with --model"
        raise CheckpointError(f"{made_of}, and {model.name} has random ones here", hint)
    return [f"{made_of} (SHA-256 {str(noted.weights_sha256)[:12]}...), and is compared with other ones"]


def _named_model(file: FileDescription, noted: Provenance | None) -> str:
    if noted is None:
        raise ArtifactError(
            f"{file.path.name} was not written by mvd, and does not say which model it is",
            "add --model NAME or --model path/to/file.py:function, and --checkpoint FILE",
        )
    if noted.own_code or noted.model not in catalog.models():
        what, hint = "code of your own", "add --model path/to/file.py:function"
        if noted.library:
            what = f"a model of {noted.library[:80]}"
            hint = "add --model as in the export, such as --model timm:NAME, and --pretrained if that was given"
        raise ArtifactError(
            f"{file.path.name} was made from {what} ({noted.model}), and mvd runs no code that a file names",
            hint,
        )
    return noted.model


def _noted_arguments(file: FileDescription, noted: Provenance, given: Mapping[str, object]) -> dict[str, object]:
    """Returns the arguments that an artifact was made with; only numbers, for a text may be a path or an address.

    Raises:
        ArtifactError: another one was not given anew.
    """
    found = {name: value for name, value in noted.model_arguments.items() if name not in given}
    for name, value in found.items():
        if name == "pretrained" or not _is_small_number(value):  # which may download something
            shown = printable(f"{name}={value if isinstance(value, str) else json.dumps(value)}"[:80])
            raise ArtifactError(
                f"{file.path.name} was made with --model-arg {shown}, "
                "and mvd gives code only small numbers that a file names",
                f"add --model-arg {shown}",
            )
    return found


def _is_small_number(value: object, depth: int = 2) -> bool:
    """Tells whether a value is a number, none, or a list of such."""
    if isinstance(value, list):
        return depth > 0 and len(value) <= MOST_NUMBERS and all(_is_small_number(item, depth - 1) for item in value)
    return value is None or (isinstance(value, bool | int | float) and abs(value) <= LARGEST_ARGUMENT)


def _selection(noted: Provenance | None, *, same: bool) -> Selection:
    """Returns what an artifact took of its checkpoint; of another file, weights of the same kind."""
    if noted is None or noted.weights_key is None:
        return Selection()
    if same:
        return Selection(key=noted.weights_key, prefix=noted.weights_prefix, ignore=noted.weights_ignore)
    kind: WeightsChoice = "ema" if is_average(noted.weights_key) else "raw" if noted.weights_key else "auto"
    return Selection(kind, prefix=noted.weights_prefix, ignore=noted.weights_ignore)


def _find_checkpoint(file: FileDescription, noted: Provenance) -> Path:
    """Returns the checkpoint by its name and hash: where the report beside the artifact says, beside it, or here."""
    for path in (_reported_path(file), file.path.parent / Path(noted.weights).name, Path(Path(noted.weights).name)):
        if path and _digest_if_there(path) == noted.weights_sha256:
            return path
    raise CheckpointError(
        f"{file.path.name} was made from {noted.weights[:80]} (SHA-256 {str(noted.weights_sha256)[:12]}...), "
        "which is not where it was",
        "add --checkpoint FILE",
    )


def export_seconds(file: FileDescription) -> float | None:
    """Returns how long an export took once its model was loaded, in seconds; None where no report says so."""
    seconds = read_report(file.path, file.target).get("seconds")
    if not isinstance(seconds, dict) or not all(isinstance(value, int | float) for value in seconds.values()):
        return None
    return float(sum(value for stage, value in seconds.items() if stage != "load"))


def _reported_path(file: FileDescription) -> Path | None:
    weights = read_report(file.path, file.target).get("weights")
    path = weights.get("path") if isinstance(weights, dict) else None
    return Path(path) if isinstance(path, str) else None


def read_report(artifact: Path, target: str) -> dict[str, Any]:
    """Returns the report beside an artifact; it is a convenience, so nothing where there is none, or no such thing."""
    report = artifact.parent / report_name(artifact, target)
    try:
        if not report.is_file() or report.stat().st_size > LARGEST_REPORT:
            return {}
        content = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _digest_if_there(path: Path) -> str | None:
    """Returns a checkpoint's digest; None where there is none, which is for the loader to say."""
    try:
        return checkpoint_digest(path)
    except (CheckpointError, OSError):  # such as a name that is too long
        return None


def _task(file: FileDescription, noted: Provenance | None) -> Task:
    if noted:
        return noted.task
    return "classify" if len(file.outputs) == 1 and len(file.outputs[0].shape) == 2 else "features"


def weights_digest(path: Path) -> str | None:
    """Returns the SHA-256 of the weights that a file says that it was made from; None where it says nothing."""
    noted = _noted(path)
    return noted.weights_sha256 if noted else None


def returns_detections(path: Path) -> bool:
    """Tells whether a file says that it returns detections, whose order is that of their scores."""
    noted = _noted(path)
    return bool(noted and noted.head and noted.head.output == "nms")


def _noted(path: Path) -> Provenance | None:
    try:
        return parse(describe_file(path).metadata, path.name)
    except ArtifactError:  # of another tool, which says nothing
        return None


def adds_softmax(file: FileDescription, noted: Provenance | None) -> bool:
    """Tells whether a file returns probabilities where its model returns logits."""
    return file.probabilities and not (noted and noted.own_probabilities)
