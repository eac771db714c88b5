"""``torchvision:NAME``: models of torchvision, with the preprocessing of their default weights.

Of a detector of one stage (SSD, SSDLite, FCOS, RetinaNet) it is what its head returns for a normalised image: what the
library does with that, in Python and an op of its own, a declaration says. Source: https://docs.pytorch.org/vision/stable/models.html
"""

import inspect
from typing import Any

from torch import Tensor, nn

from mobilevit_deploy.catalog.model_card import LibraryCard, Preprocessing
from mobilevit_deploy.loading.source import (
    FromLibrary,
    distinct,
    refuse_arguments,
    require,
    unknown_name,
    version_of,
)

PACKAGE = "torchvision"
INSTEAD = {
    "weights": "--pretrained takes the library's, torchvision:NAME.TAG says which",
    "weights_backbone": "--pretrained takes the library's, of the whole model",
}
PREPROCESSING = ("mean", "std", "resize_size")  # what transforms of images have; a detector prepares its own


class Head(nn.Module):
    """Normalised image (B, 3, H, W) to what the head of a detector returns, its keys as torchvision calls them."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.model.head(list(self.model.backbone(x).values()))
        return found


def build(name: str, *, pretrained: bool = False, num_classes: int | None = None, **arguments: Any) -> FromLibrary:
    """Returns a model by its name in ``torchvision.models.list_models()``, with or without a tag of its weights.

    Raises:
        CatalogError: torchvision has no such model, or no such weights of it.
        MvdError: torchvision is missing.
    """
    refuse_arguments(arguments, INSTEAD)
    models = require(PACKAGE).models
    architecture, _, tag = name.partition(".")
    if architecture not in models.list_models():
        raise unknown_name("torchvision has no model", architecture, models.list_models())
    known = models.get_model_weights(architecture)
    if tag and tag not in known.__members__:
        raise unknown_name(f"torchvision has no weights of {architecture}", tag, known.__members__)
    weights = known[tag] if tag else known.DEFAULT if known.__members__ else None
    arguments |= {} if num_classes is None else {"num_classes": num_classes}
    if "weights_backbone" in inspect.signature(models.get_model_builder(architecture)).parameters:
        arguments["weights_backbone"] = None  # by default it is downloaded, also where the whole model is random
    module = models.get_model(architecture, weights=weights if pretrained else None, **arguments)
    detects = all(hasattr(module, part) for part in ("backbone", "head", "transform"))
    return FromLibrary(
        Head(module) if detects else module,
        _detector_card(module, weights, num_classes) if detects else _card(weights, num_classes),
        weights=f"{version_of(PACKAGE)}, {architecture}.{weights.name}" if pretrained and weights else None,
        takes_checkpoint=module,
    )


def _detector_card(module: Any, weights: Any, num_classes: int | None) -> LibraryCard:
    """Returns what the model's own transform does; the first of the classes is the background."""
    classes = distinct(weights.meta.get("categories", ())) if weights else ()
    transform = module.transform
    size = getattr(transform, "fixed_size", None)  # width and height
    return LibraryCard(
        library=version_of(PACKAGE),
        input_size=(3, size[1], size[0]) if size else None,
        preprocessing=Preprocessing(
            mean=tuple(transform.image_mean),
            std=tuple(transform.image_std),
            interpolation="bilinear",
            description="torchvision's own transform of detectors",
            warp=size is not None,
        ),
        classes=classes if num_classes in (None, len(classes)) else (),
    )


def _card(weights: Any, num_classes: int | None) -> LibraryCard:
    if weights is None:
        return LibraryCard(library=version_of(PACKAGE))
    classes = distinct(weights.meta.get("categories", ()))
    transforms = weights.transforms()
    if not all(hasattr(transforms, name) for name in PREPROCESSING):
        return LibraryCard(library=version_of(PACKAGE), classes=classes if num_classes in (None, len(classes)) else ())
    resized = transforms.resize_size[0]
    side = getattr(transforms, "crop_size", transforms.resize_size)[0]
    return LibraryCard(
        library=version_of(PACKAGE),
        input_size=(3, side, side),
        preprocessing=Preprocessing(
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
            interpolation=transforms.interpolation.value,
            description=f"torchvision's evaluation: short side to {resized}, the centre of {side} kept",
            crop=min(side / resized, 1.0),
        ),
        classes=classes if num_classes in (None, len(classes)) else (),
    )
