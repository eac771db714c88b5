"""A user's own images, read as a model's task needs them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mobilevit_deploy.catalog.decision import Instances
from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.images.annotations import Annotations
from mobilevit_deploy.images.boxes import BoxedImages, read_boxed
from mobilevit_deploy.images.masks import MaskedImages, read_masked
from mobilevit_deploy.images.preparation import known
from mobilevit_deploy.images.user_images import ImageSet, read_images
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.loading.model_head import ModelHead

GivenImages = ImageSet | MaskedImages | BoxedImages


@dataclass(frozen=True)
class ImagesRequest:
    """Which images to read.

    Attributes:
        path: of the images.
        largest_count: take no more than this many; None for all.
        annotations: of a model with a head.
        names: of a head's classes, in place of the checkpoint's; empty for those.
    """

    path: Path
    largest_count: int | None = None
    annotations: Annotations = field(default_factory=Annotations)
    names: tuple[str, ...] = ()


def read_given(model: LoadedModel, request: ImagesRequest, preprocessing: Preprocessing | None) -> GivenImages:
    """Reads the images and what is known of them.

    Args:
        model: as loaded.
        request: which images.
        preprocessing: of them; None where nobody said it.

    Raises:
        MvdError: something cannot be read, or is not of this model.
    """
    path, limit, size, head = request.path, request.largest_count, model.input_shape[1:], model.head
    request.annotations.check(path, model.task, head.output if head else None)
    if head is None:
        return read_images(path, size, preprocessing, limit)
    preparation, classes = known(preprocessing, "images"), names_of(head, request.names)
    masks, boxes = request.annotations.masks, request.annotations.boxes
    if masks:
        zero = request.annotations.reduce_zero_label
        return read_masked(path, masks, size, preparation, classes, limit, reduce_zero_label=zero)
    assert boxes  # by the check above
    named = bool(request.names or head.classes.names)
    outlined = isinstance(head.suppression, Instances)
    return read_boxed(path, boxes, size, preparation, classes, limit, named=named, outlined=outlined)


def names_of(head: ModelHead, given: Sequence[str]) -> tuple[str, ...]:
    """Returns a name for each class: the user's, the checkpoint's, or its number."""
    names = given if len(given) == head.num_classes else head.classes.names  # a wrong number is refused elsewhere
    return tuple(names) or tuple(map(str, range(head.num_classes)))
