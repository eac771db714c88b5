"""What an artifact says of itself: written at the export as text, read back as untrusted input."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mobilevit_deploy.catalog.decision import Suppression, SuppressionRule
from mobilevit_deploy.catalog.formats import tool_versions
from mobilevit_deploy.catalog.head_card import Output
from mobilevit_deploy.catalog.head_declaration import HeadDeclaration
from mobilevit_deploy.catalog.model_card import Layout, Preprocessing, Task
from mobilevit_deploy.catalog.recipe import Precision, Recipe
from mobilevit_deploy.catalog.tensor_input import TensorInput, check_inputs, parse_input
from mobilevit_deploy.errors import ArtifactError, printable
from mobilevit_deploy.loading.class_names import LONGEST_NAME
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.loading.model_head import HeadOptions, ModelHead
from mobilevit_deploy.loading.weights_origin import VOUCHED
from mobilevit_deploy.rewrites.rewrite import RewriteResult
from mobilevit_deploy.system.version import __version__
from mobilevit_deploy.targets.app_options import AppInterface, AppOptions, Channels, Compression
from mobilevit_deploy.targets.quantization import Quantization

# Of a file that asks for a model to compare with; a detector of so many has 0.7 GB of weights in its last layer.
LARGEST_CLASS_COUNT = 2**13


class ImageNormalisation(BaseModel):
    """Mean and std per channel of values in [0, 1], in the order of the color, as the graph holds them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    color: Literal["RGB", "BGR", "GRAYSCALE"]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class CalibrationNote(BaseModel):
    """By how many images int8 was calibrated, and which: a name, or the word for the structured ones."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: str
    images: int


class HeadNote(BaseModel):
    """What a model with a head returns: of so many classes, and by which rule boxes are left; its own head's form."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    output: Output
    num_classes: int = Field(gt=0, le=LARGEST_CLASS_COUNT)
    suppression: SuppressionRule | None = None
    declaration: HeadDeclaration | None = None

    @classmethod
    def of(cls, head: ModelHead) -> "HeadNote":
        """Returns what is noted of a head."""
        names, rule = SuppressionRule.model_fields, head.decision
        chosen = SuppressionRule(**rule.model_dump(include=set(names))) if isinstance(rule, Suppression) else None
        return cls(output=head.output, num_classes=head.num_classes, suppression=chosen, declaration=head.declaration)

    def options(self) -> HeadOptions:
        """Returns what was asked of the head."""
        rule = self.suppression
        if rule is None:
            return HeadOptions(self.output, declaration=self.declaration)
        thresholds = (rule.score_threshold, rule.iou_threshold, rule.max_detections)
        return HeadOptions(self.output, *thresholds, self.declaration)


def _read_inputs(texts: object) -> tuple[TensorInput, ...]:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("inputs are a list of texts")
    inputs = tuple(map(parse_input, texts))
    check_inputs(inputs)
    return inputs


def _read_preprocessing(noted: object) -> object:
    """Returns what is noted of the images' preparation that a card has: not the sentence on the array's layout."""
    known = Preprocessing.model_fields
    return {key: value for key, value in noted.items() if key in known} if isinstance(noted, dict) else noted


def _read_names(noted: object) -> tuple[str, ...]:
    """Returns the names of classes, fit to be shown; none where they are no list of texts, for they decide nothing."""
    if not isinstance(noted, list) or not all(isinstance(name, str) for name in noted):
        return ()
    return tuple(printable(name[:LONGEST_NAME]) for name in noted)


Share = Annotated[int, Field(ge=0, le=255)]


class Provenance(BaseModel):
    """What ``mvd export`` noted in an artifact; nothing in it is believed without a comparison.

    Attributes:
        model: name of the card, or of the user's own function.
        own_code: the model is no card's, so its code has to be named again.
        weights: file name of the checkpoint, which ones of a library, or what the user said of them.
        weights_sha256: of that file, or of the state dict that the code or the library gave; None when untrained.
        weights_key: the entry of it that the weights were taken from.
        weights_prefix: of the names that were taken, where one was asked for.
        weights_ignore: patterns of names that were left aside.
        library: that built the model, and its version; None for another one.
        pretrained: the weights are that library's own.
        vouched: the model's code loaded them, and ``weights`` is the user's word.
        layout: of the array that the file takes.
        recipe: by name.
        target_version: the opset, or the iOS floor; None for a target without versions.
        rewritten: False for ``--no-rewrite``.
        prune: share of the weights that was set to zero.
        keep_fp32: paths of the modules that stayed in float32.
        labels_sha256: of the classes' names in order; None without.
        classes: their names in order, where somebody told them; of the pixels or boxes of a model with a head.
        palette: their colours, likewise.
        preprocessing: how the authors prepare images; None where nobody said it.
        image: set when the input is an image.
        inputs: all of them, as --input names them; none for one image.
        model_arguments: of the user's own function, or of a library's model, by name; any of JSON's values.
        calibration: of an int8 file.
        own_probabilities: the model's own output is a softmax over the classes.
        head: of a model that has one.
        allow_precision_loss: the export was told to write what half precision leaves, however little it is.
        session: entries of the runtime's session that ``mvd tune`` found to help, ``KEY=VALUE``.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    own_code: bool = False
    task: Task
    trained: bool
    weights: str
    weights_sha256: str | None = None
    weights_key: str | None = None
    weights_prefix: str = ""
    weights_ignore: tuple[str, ...] = ()
    library: str | None = None
    pretrained: bool = False
    vouched: bool = False
    layout: Layout = "nchw"
    recipe: str
    target_version: int | None = None
    precision: Precision
    rewritten: bool = True
    prune: float | None = None
    keep_fp32: tuple[str, ...] = ()
    labels_sha256: str | None = None
    classes: Annotated[tuple[str, ...], BeforeValidator(_read_names)] = ()
    palette: tuple[tuple[Share, Share, Share], ...] = ()
    preprocessing: Annotated[Preprocessing | None, BeforeValidator(_read_preprocessing)] = None
    image: ImageNormalisation | None = None
    inputs: Annotated[tuple[TensorInput, ...], BeforeValidator(_read_inputs)] = ()
    model_arguments: dict[str, Any] = Field(default_factory=dict)
    calibration: CalibrationNote | None = None
    own_probabilities: bool = False
    head: HeadNote | None = None
    allow_precision_loss: bool = False
    session: tuple[str, ...] = ()

    def image_preparation(self) -> Preprocessing | None:
        """Returns how the user's images are prepared, as the export did it; None where the file does not say."""
        if self.preprocessing is None and self.image:
            order: Channels = "bgr" if self.image.color == "BGR" else "rgb"
            return AppOptions(channels=order, mean=self.image.mean, std=self.image.std).preprocessing(None)
        return self.preprocessing

    def weights_text(self) -> str:
        """Returns where the weights are from, in words."""
        if not self.trained:
            return "UNTRAINED"
        return printable(self.weights[:LONGEST_NAME]) + (VOUCHED if self.vouched else "")


PREFIX = "mvd."
STRUCTURED = (
    "keep_fp32",
    "image",
    "calibration",
    "head",
    "inputs",
    "model_arguments",
    "prune",
    "rewritten",
    "own_code",
    "trained",
    "pretrained",
    "vouched",
    "target_version",
    "allow_precision_loss",
    "own_probabilities",
    "weights_ignore",
    "session",
    "classes",
    "palette",
    "preprocessing",
)  # JSON; the rest is plain text


def describe(
    model: LoadedModel,
    recipe: Recipe,
    version: int | None,
    precision: Precision,
    results: Sequence[RewriteResult] | None,
    app: AppInterface,
    compression: Compression | None,
    quantization: Quantization | None = None,
    *,
    allow_precision_loss: bool = False,
    preprocessing: Preprocessing | None = None,
) -> dict[str, str]:
    """Returns what an artifact says of itself; no path of this machine is in it.

    Args:
        model: as loaded.
        recipe: that it was exported by.
        version: the opset, or the iOS floor; None for a target without versions.
        precision: of the artifact.
        results: of the rewrites; None for ``--no-rewrite``.
        app: what an app sees.
        compression: of the weights.
        quantization: of weights and activations.
        allow_precision_loss: whether half precision may cost what it costs.
        preprocessing: of images; None where nobody said it.
    """
    weights, family = model.weights, model.card.family if model.card else None
    labels = app.labels or app.classes.names
    entries: dict[str, Any] = {
        "version": __version__,
        "model": model.name,
        "own_code": model.card is None,
        "task": model.task,
        "trained": weights.trained,
        "weights": weights.library
        or weights.vouched
        or (Path(weights.path).name if weights.path else "no checkpoint given"),
        "weights_sha256": weights.sha256,
        "weights_key": weights.key,
        "weights_prefix": weights.prefix,
        "weights_ignore": list(weights.ignore) or None,
        "library": model.library.library if model.library else None,
        "pretrained": True if weights.library else None,
        "vouched": True if weights.vouched else None,
        "layout": model.layout if model.layout != "nchw" else None,
        "inputs": [str(item) for item in model.inputs] or None,
        "model_arguments": dict(model.arguments) or None,
        "recipe": recipe.name,
        "target_version": version,
        "precision": precision,
        "rewritten": results is not None,
        "rewrites": {result.name: len(result.applied) for result in results or () if result.applied},
        "allow_precision_loss": allow_precision_loss or None,
        "session": list(recipe.tuned.session) or None if recipe.tuned else None,
        "own_probabilities": app.own_probabilities or None,
        "prune": compression.prune if compression else None,
        "keep_fp32": list(app.keep_fp32) or None,
        "labels_sha256": hash_labels(labels) if labels else None,
        "tool_versions": tool_versions(),
        "description": _describe(model),
    }
    if quantization:
        calibration = quantization.calibration
        name = Path(calibration.source).name
        entries["calibration"] = {"source": name, "images": len(calibration.images)}
    if model.head:
        entries["head"] = HeadNote.of(model.head).model_dump(exclude_defaults=True)
        entries["classes"] = list(app.classes.names) or None
        entries["palette"] = list(app.classes.colors) or None
    elif model.task == "classify":
        entries["classes"] = list(app.classes.names or (model.library.classes if model.library else ())) or None
    if app.image:
        entries["image"] = {"normalisation": "in the graph: (value / 255 - mean) / std", **vars(app.image)}
    if preprocessing:
        layout = f"{model.layout.upper()}, {preprocessing.color}, values in [0, 1], then (value - mean) / std"
        entries["preprocessing"] = {"layout": layout, **preprocessing.model_dump(exclude_defaults=True)}
    if family:
        entries["source"] = f"{family.title}; {family.paper}"
        entries["reconstruction"] = family.reconstruction
    if model.head:
        entries["head_source"] = model.head.source
    return {f"{PREFIX}{key}": _to_text(value) for key, value in entries.items() if value not in (None, "")}


def hash_labels(labels: Sequence[str]) -> str:
    """Returns the SHA-256 of the classes' names, a line each."""
    return hashlib.sha256("\n".join(labels).encode()).hexdigest()


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _describe(model: LoadedModel) -> str:
    state = "" if model.weights.trained else ", UNTRAINED: no checkpoint was given"
    kind = " (a reconstruction from the paper)" if model.card and model.card.family.reconstruction else ""
    return f"{model.name}{kind}, {model.task}{state}; exported by mvd {__version__}"


def parse(metadata: Mapping[str, str], name: str) -> Provenance | None:
    """Reads an artifact's metadata; returns None for a file that mvd did not write.

    Raises:
        ArtifactError: there is metadata of mvd's, and it is malformed.
    """
    entries: dict[str, Any] = {
        key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)
    }
    if "model" not in entries:
        return None
    try:
        for key in STRUCTURED:
            if key in entries:
                entries[key] = json.loads(entries[key])
        return Provenance.model_validate(entries)
    except (ValueError, RecursionError) as error:  # pydantic's ValidationError is a ValueError
        fields = (
            ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
            if isinstance(error, ValidationError)
            else str(error)
        )
        raise ArtifactError(f"what {name} says of its own export is malformed: {fields}", "export it again") from error
