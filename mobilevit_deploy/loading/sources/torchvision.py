"""``torchvision:NAME``: models of torchvision, with the preprocessing of their default weights.

Source: https://docs.pytorch.org/vision/stable/models.html
"""

import inspect
from typing import Any

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
    return FromLibrary(
        module,
        _card(weights, num_classes),
        weights=f"{version_of(PACKAGE)}, {architecture}.{weights.name}" if pretrained and weights else None,
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
