"""``timm:NAME``: models of PyTorch Image Models, with the preprocessing of their weights.

Source: https://huggingface.co/docs/timm/reference/models
"""

from typing import Any

from torch import nn

from mobilevit_deploy.catalog.model_card import LibraryCard, Preprocessing
from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.loading.source import (
    FromLibrary,
    distinct,
    refuse_arguments,
    require,
    unknown_name,
    version_of,
)

PACKAGE = "timm"
INSTEAD = {
    "checkpoint_path": "give the file to --checkpoint",
    "pretrained_cfg": "a name's tag says which weights: timm:NAME.TAG --pretrained",
    "pretrained_cfg_overlay": "a name's tag says which weights: timm:NAME.TAG --pretrained",
}


def build(name: str, *, pretrained: bool = False, num_classes: int | None = None, **arguments: Any) -> FromLibrary:
    """Returns a model by its name in ``timm.list_models()``, with or without a tag of its weights.

    Raises:
        CatalogError: timm has no such model, or no such weights of it.
        UsageError: weights for another number of classes.
        MvdError: timm is missing.
    """
    refuse_arguments(arguments, INSTEAD)
    timm = require(PACKAGE)
    _check_name(timm, name)
    classes = {} if num_classes is None else {"num_classes": num_classes}
    module: nn.Module = timm.create_model(name, pretrained=pretrained, **classes, **arguments)
    config = getattr(module, "pretrained_cfg", None) or {}
    if pretrained and num_classes and num_classes != config.get("num_classes", num_classes):
        raise UsageError(
            f"--pretrained has {config['num_classes']} classes, not {num_classes}: the head would be random",
            "leave --num-classes out, or train the head and give --checkpoint FILE",
        )
    tag = f".{config['tag']}" if config.get("tag") else ""
    return FromLibrary(
        module,
        _card(timm, module),
        weights=f"{version_of(PACKAGE)}, {name.partition('.')[0]}{tag}" if pretrained else None,
    )


def _check_name(timm: Any, name: str) -> None:
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture) or ":" in name or "/" in name:
        raise unknown_name("timm has no model", architecture, timm.list_models())
    if tag:
        tagged = timm.list_models(f"{architecture}.*", pretrained=True)
        if name not in tagged:
            raise unknown_name("timm has no weights", name, tagged)


def _card(timm: Any, module: nn.Module) -> LibraryCard:
    config = timm.data.resolve_model_data_config(module)
    channels, height, width = config["input_size"]
    kept, mode = config.get("crop_pct") or 1.0, config.get("crop_mode", "center")
    interpolation = config["interpolation"]
    preprocessing = None
    if len(config["mean"]) == len(config["std"]) == 3:
        preprocessing = Preprocessing(
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            interpolation="bilinear" if interpolation == "random" else interpolation,
            description=f"timm's evaluation: {kept:.0%} kept of {mode} cropping",
            crop=min(kept, 1.0),
            warp=mode == "squash",
        )
    return LibraryCard(
        library=version_of(PACKAGE),
        input_size=(channels, height, width),
        preprocessing=preprocessing,
        classes=_classes(timm, module),
    )


def _classes(timm: Any, module: nn.Module) -> tuple[str, ...]:
    subset = timm.data.infer_imagenet_subset(module)
    if not subset:
        return ()
    info = timm.data.ImageNetInfo(subset)
    return distinct(info.index_to_description(i) for i in range(info.num_classes()))
