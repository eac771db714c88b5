"""The steps from a model to what a target is given, which exporting, inspecting and verifying share."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.calibration import CALIBRATION_IMAGES, STRUCTURED
from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.catalog.model_card import Family, Preprocessing
from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.catalog.recipe import Recipe
from mobilevit_deploy.errors import DoesNotRunError, UsageError
from mobilevit_deploy.graph.app_interface import (
    append_decision,
    append_softmax,
    normalize_pixels,
    returns_probabilities,
    take_channels_last,
)
from mobilevit_deploy.graph.capture import Captured, TensorSpec, capture
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.sample import Sample, sample_of
from mobilevit_deploy.images import test_images
from mobilevit_deploy.images.input_records import make_records
from mobilevit_deploy.images.test_images import SAMPLES
from mobilevit_deploy.images.user_images import read_images
from mobilevit_deploy.loading.class_names import ClassNames
from mobilevit_deploy.loading.model import LoadedModel, try_channels_last
from mobilevit_deploy.pipeline.given_images import GivenImages, ImagesRequest, read_given
from mobilevit_deploy.pipeline.plan import Plan
from mobilevit_deploy.pipeline.rewriting import rewrite_captured
from mobilevit_deploy.rewrites.rewrite import RewriteResult
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.runners.reference import Computed
from mobilevit_deploy.targets.app_options import (
    CARD_LABELS,
    AppInterface,
    ImageInput,
    check_labels,
    choose_image_input,
    find_modules,
)
from mobilevit_deploy.targets.quantization import (
    HELD_OUT_IMAGES,
    Calibration,
    Quantization,
    divide,
)

BACKBONE = "backbone"  # what every model with a head calls it, as MMDetection and MMSegmentation do
PROBABILITIES = "probabilities"  # the output in place of the logits


@dataclass(frozen=True)
class Prepared:
    """A loaded model, its captured graph, and images in a multiple of its batch.

    Attributes:
        model: as loaded.
        captured: its graph, before any rewrite.
        images: structured ones, (N, C, H, W); records of test values where the model has more inputs.
        given: the user's own, if there are any.
        calibration: those that int8 is calibrated on.
        preprocessing: of images, by the user or the model's card; None where nobody said it.
        computed: what the model is known to come to in float64.
    """

    model: LoadedModel
    captured: Captured
    images: test_images.Images
    given: GivenImages | None = None
    calibration: Calibration | None = None
    preprocessing: Preprocessing | None = None
    computed: Computed | None = None

    @property
    def example(self) -> Sample:
        """Returns one batch, (B, C, H, W), or a tensor for each input."""
        return sample_of(self.images[: self.model.input_shape[0]])


@dataclass(frozen=True)
class ReadyForTarget:
    """What a target is given.

    Attributes:
        rewritten: the graph after the recipe's rewrites.
        graph: the same with the app's borders, normalisation, softmax, and the order of axes that the model takes.
        app: what an app sees.
        outputs: of ``graph``.
        results: what each rewrite did; None where none was asked for.
        warnings: for the user.
    """

    rewritten: Graph
    graph: Graph
    app: AppInterface
    outputs: tuple[TensorSpec, ...]
    results: tuple[RewriteResult, ...] | None = None
    warnings: tuple[str, ...] = ()
    channels_last: bool = False


def prepare(
    model: LoadedModel,
    images: ImagesRequest | None = None,
    calibrate: Path | None = None,
    preprocessing: Preprocessing | None = None,
) -> Prepared:
    """Makes and reads the images and captures the graph.

    Args:
        model: as loaded.
        images: the user's own.
        calibrate: images to calibrate int8 on, or the word for the structured ones.
        preprocessing: of those, in place of the card's.

    Raises:
        CaptureError: the model cannot be captured.
        MvdError: the user's images cannot be read.
    """
    preparation = preprocessing or model.preprocessing
    given = read_given(model, images, preparation) if images else None
    made = structured_images(model)
    batch = model.input_shape[0]
    calibration = _read_calibration(model, calibrate, made, preparation) if calibrate else None
    example = sample_of(made[:batch])
    try:
        captured = capture(model.module, example, model.task, model.inputs, one_image=calibrate is not None)
    except DoesNotRunError:
        other = try_channels_last(model)
        if other is None:
            raise
        model, captured = other, capture(other.module, example, other.task)
    return Prepared(model, captured, made, given, calibration, preparation)


def _read_calibration(
    model: LoadedModel, path: Path, made: test_images.Images, preparation: Preprocessing | None
) -> Calibration:
    if str(path) == STRUCTURED:
        return Calibration(made, made, STRUCTURED)
    found = read_images(path, model.input_shape[1:], preparation, CALIBRATION_IMAGES + HELD_OUT_IMAGES)
    return divide(found.images, str(path))


def quantization_rule(recipe: Recipe, family: Family | None) -> QuantizationRule | None:
    """Returns what becomes int8: the recipe's rule for the family, the family's own, or the recipe's for all others."""
    own = recipe.family_quantization.get(family.family) if family else None
    return own or (family and family.quantization) or recipe.quantization


def choose_quantization(plan: Plan, prepared: Prepared, ready: ReadyForTarget) -> Quantization | None:
    """Returns how the graph becomes int8, by the family's rule or the recipe's; None for another precision."""
    rule = quantization_rule(plan.recipe, prepared.model.card.family if prepared.model.card else None)
    if plan.precision != "int8" or rule is None or prepared.calibration is None:
        return None
    rule = rule.within(BACKBONE) if prepared.model.head else rule
    rule = rule.model_copy(update={"keep_float": (*rule.keep_float, *plan.app.keep_fp32)})
    calibration = prepared.calibration
    if ready.channels_last:
        calibration = replace(calibration, images=borders_of(ready).fed(calibration.images))
    return Quantization(rule, calibration, plan.sensitivity)


def structured_images(model: LoadedModel) -> test_images.Images:
    """Returns at least ``SAMPLES`` structured images, normalised, in a multiple of the model's batch; or records."""
    batch, channels, height, width = model.input_shape
    count = -(-SAMPLES // batch) * batch
    preparation = model.preprocessing
    mean, std = (
        (preparation.mean, preparation.std) if preparation else (test_images.IMAGENET_MEAN, test_images.IMAGENET_STD)
    )
    if model.inputs:
        return make_records(model.inputs, count, mean, std)
    return test_images.make_samples(count, channels, height, width, mean, std)


def ready_for_target(plan: Plan, prepared: Prepared) -> ReadyForTarget:
    """Applies the recipe's rewrites, then the app's borders."""
    captured = prepared.captured.graph
    graph, results = captured, None
    warnings = prepared.captured.notes
    if plan.rewrite:
        rewritten, taken_back = rewrite_captured(plan.recipe, captured, prepared.example)
        graph, results, warnings = rewritten.graph, rewritten.results, warnings + taken_back
    if captured.unkept:
        state = ", ".join(captured.unkept)
        warnings += (
            f"the model writes to its state ({state}); an exported graph keeps none from one image to the next",
        )
    head = prepared.model.head
    app = AppInterface(
        _image_input(plan, prepared),
        _labels(plan, prepared) if _writes_labels(plan) else None,
        find_modules(graph, plan.app.keep_fp32),
        _classes(plan, prepared),
        head.decision if head else None,
        head.chosen_by if head else None,
        plan.app.int8_io,
        prepared.model.task == "classify" and returns_probabilities(captured),
        plan.app.runtime,
    )
    outputs, bordered = prepared.captured.outputs, graph
    if app.image:
        bordered = normalize_pixels(bordered, app.image.mean, app.image.std)
    arrays = format_of(plan.recipe.target).image_arrays
    channels_last = arrays if app.image else takes_channels_last(prepared.model)
    if channels_last:
        bordered = take_channels_last(bordered)
    if app.labels and not app.own_probabilities:
        bordered = append_softmax(bordered)
    if app.labels or app.own_probabilities:
        outputs = (TensorSpec(PROBABILITIES, outputs[0].shape),)
    if app.decision and app.decision.behind_model:
        bordered, shapes = append_decision(bordered, app.decision, *prepared.model.input_shape[2:])
        outputs = tuple(TensorSpec(name, shape) for name, shape in shapes.items())
    return ReadyForTarget(graph, bordered, app, outputs, results, warnings, channels_last)


def takes_channels_last(model: LoadedModel) -> bool:
    """Tells whether an artifact's array is (B, H, W, C)."""
    return model.layout == "nhwc"


def check_app(plan: Plan, prepared: Prepared) -> None:
    """Raises UsageError for app options that this model cannot have; before anything is rewritten or converted."""
    _image_input(plan, prepared)
    if plan.app.channels == "bgr" and not plan.app.image_input and prepared.preprocessing is None:
        raise UsageError("--color bgr, but nobody said how this model's images are normalised", "add --mean and --std")
    labels = _labels(plan, prepared)
    _classes(plan, prepared)
    if labels and plan.app.labels:
        shapes = [output.shape for output in prepared.captured.outputs]
        check_labels(labels, plan.app.labels, prepared.model.task, shapes, written=_writes_labels(plan))
    find_modules(prepared.captured.graph, plan.app.keep_fp32)
    default = prepared.model.input_shape[2:]
    for size in plan.app.sizes:
        resize_model(prepared.model, size)
    if len({default, *plan.app.sizes}) != 1 + len(plan.app.sizes):
        raise UsageError("--sizes names a size twice, or the default one", "leave one of them out")


def _image_input(plan: Plan, prepared: Prepared) -> ImageInput | None:
    if not plan.app.image_input:
        return None
    return choose_image_input(plan.app, prepared.model.input_shape, prepared.model.preprocessing)


def _writes_labels(plan: Plan) -> bool:
    """Tells whether a classifier's file can return the classes by name."""
    return format_of(plan.recipe.target).writes(["--labels"])


def _labels(plan: Plan, prepared: Prepared) -> tuple[str, ...] | None:
    """Returns a classifier's names, from the user's file or the library's card; raises UsageError for none there."""
    if prepared.model.head:
        return None
    if plan.app.labels is None or plan.labels:
        return plan.labels
    library = prepared.model.library
    if library is None or not library.classes:
        raise UsageError(
            f"--labels {CARD_LABELS}, but nobody named the classes of {prepared.model.name}",
            "give --labels FILE, one class a line",
        )
    return library.classes


def _classes(plan: Plan, prepared: Prepared) -> ClassNames:
    """Returns the names of what a head tells apart, from the user's file or the checkpoint; raises UsageError.

    Of a classifier those that its file has no place for, beyond what is noted of its export.
    """
    head = prepared.model.head
    if head is None:
        return ClassNames(() if _writes_labels(plan) else _labels(plan, prepared) or ())
    if plan.labels and len(plan.labels) != head.num_classes:
        raise UsageError(
            f"{plan.app.labels} has {len(plan.labels)} labels, the model {head.num_classes} classes",
            "give one line a class",
        )
    if plan.app.labels and not plan.labels and not head.classes.names:
        raise UsageError(
            f"--labels {CARD_LABELS}, but nobody named the classes of {prepared.model.name}",
            "give --labels FILE, one class a line",
        )
    return replace(head.classes, names=plan.labels or head.classes.names)


def resize_model(model: LoadedModel, size: tuple[int, int]) -> LoadedModel:
    """Returns the same model for images of another (height, width); raises CatalogError where it takes none such."""
    if model.card:
        catalog.input_rule(model.card, model.task).check(model.name, model.task, *size)
    return replace(model, input_shape=(*model.input_shape[:2], *size))


def borders_of(ready: ReadyForTarget) -> Borders:
    """Returns the borders that an app asked for."""
    added = ready.app.labels is not None and not ready.app.own_probabilities
    return Borders(ready.app.image, added, ready.channels_last, ready.app.decision, ready.app.chosen_by)


def input_of(ready: ReadyForTarget, prepared: Prepared) -> tuple[TensorSpec, Sample]:
    """Returns the artifact's input, the first image where there are more, and one batch as it takes it."""
    if prepared.model.inputs:
        return prepared.captured.input, prepared.example
    batch = prepared.images[: prepared.model.input_shape[0]]
    batch = borders_of(ready).fed(batch) if ready.channels_last else batch
    name = ready.app.input_name(prepared.captured.input.name)
    return TensorSpec(name, batch.shape), torch.from_numpy(batch)
