"""``hf:FOLDER``: a model that Hugging Face transformers saved, from ``config.json`` and safetensors in a local folder.

Nothing in the folder is run: the architecture must be a class of transformers itself, and only safetensors are read,
also in several files with an index. Source: https://huggingface.co/docs/transformers/main/en/main_classes/model
"""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mobilevit_deploy.catalog.model_card import LibraryCard, Preprocessing
from mobilevit_deploy.errors import CatalogError, CheckpointError, MvdError, UsageError
from mobilevit_deploy.loading.source import FromLibrary, distinct, require, version_of
from mobilevit_deploy.system.text_files import read_limited

PACKAGE = "transformers"
INPUT = "pixel_values"
LARGEST_JSON = 2**24  # bytes; an index of thousands of tensors has less than one megabyte
SHOWN = 5  # names of tensors
# What a configuration may hold and a model is not built from: code and kernels of others, and places of weights.
LEFT_OUT = ("auto_map", "_name_or_path", "_attn_implementation", "attn_implementation", "_experts_implementation")
# PIL's numbers of its filters, as ``resample`` has them.
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


class PixelValues(nn.Module):
    """A model of transformers with its image as the one input."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> Any:
        return self.model(pixel_values=pixel_values)


def build(
    name: str, *, pretrained: bool | None = None, num_classes: int | None = None, **arguments: Any
) -> FromLibrary:
    """Returns the model of a folder, with the folder's weights unless ``pretrained`` is False, or it has none.

    Args:
        name: the folder.
        pretrained: False for random weights; True where a folder without weights is an error.
        num_classes: in place of the configuration's.
        arguments: other entries of the configuration.

    Raises:
        CatalogError: the folder or its configuration is none of transformers'.
        CheckpointError: the weights are not the model's.
        MvdError: transformers is missing.
        UsageError: an argument that the configuration does not have.
    """
    folder = Path(name)
    stored = _read_json(
        folder / "config.json", f"hf: takes a folder with config.json and model.safetensors, not {name}"
    )
    transformers = require(PACKAGE)
    cls = _find_class(transformers, stored, folder)
    config = cls.config_class.from_dict({key: value for key, value in stored.items() if key not in LEFT_OUT})
    if hasattr(config, "use_pretrained_backbone"):
        config.use_pretrained_backbone = False
    _configure(config, num_classes, arguments)
    held = pretrained is not False and _holds_weights(folder, insist=pretrained is True)
    module, not_loaded = _load(cls, config, folder) if held else (cls(config), ())
    return FromLibrary(
        PixelValues(module),
        _card(config, folder),
        weights=f"{version_of(PACKAGE)}, {folder.resolve().name}" if held else None,
        folder=str(folder) if held else None,
        not_loaded=not_loaded,
        takes_checkpoint=module,
    )


def _read_json(path: Path, missing: str) -> dict[str, Any]:
    if not path.is_file():
        raise CatalogError(
            missing, "save_pretrained(FOLDER) writes one, hf download NAME --local-dir FOLDER fetches one"
        )
    try:
        content = json.loads(read_limited(path, LARGEST_JSON, "is it the file that transformers wrote?"))
    except (ValueError, RecursionError) as error:
        raise CatalogError(f"{path} is no JSON: {error}", "copy the folder again") from error
    if not isinstance(content, dict):
        raise CatalogError(f"{path} holds no configuration", "copy the folder again")
    return content


def _find_class(transformers: Any, stored: Mapping[str, Any], folder: Path) -> Any:
    """Returns the model class of transformers that a configuration names; code in the folder is never looked at."""
    names = stored.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    if not isinstance(name, str):
        raise CatalogError(f"{folder / 'config.json'} names no architecture", "save it with save_pretrained(FOLDER)")
    found = getattr(transformers, name, None) if name.isidentifier() else None
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
        raise CatalogError(
            f"{folder / 'config.json'} names {name[:80]}, which is no model of {version_of(PACKAGE)}",
            "mvd runs no code of the folder: update transformers, or write a function and give file.py:function",
        )
    if stored.get("quantization_config"):
        raise CatalogError(f"the weights of {folder} are quantised", "give the float model: mvd quantises by itself")
    if (folder / "adapter_config.json").exists():
        raise CatalogError(f"{folder} holds an adapter", "merge it into its model, and save that")
    cls: Any = found
    if cls.main_input_name != INPUT:
        raise CatalogError(f"{name} takes {cls.main_input_name} and not {INPUT}", "mvd exports models of images")
    return cls


def _configure(config: Any, num_classes: int | None, arguments: Mapping[str, Any]) -> None:
    if num_classes is not None:
        config.num_labels = num_classes
    for key, value in arguments.items():
        known = [name for name in config.to_dict() if not name.startswith("_")]
        if key not in known:
            near = get_close_matches(key, known, n=1)
            raise UsageError(
                f"{type(config).__name__} has no {key}",
                f"did you mean {near[0]}?" if near else "config.json shows what it has",
            )
        setattr(config, key, value)


def _holds_weights(folder: Path, *, insist: bool) -> bool:
    """Tells whether a folder has safetensors; raises CheckpointError for weights that only pickle could read."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        parts = _read_json(index, "").get("weight_map")
        names = set(parts.values()) if isinstance(parts, dict) else set()
        for part in names:
            if not isinstance(part, str) or Path(part).name != part or not (folder / part).is_file():
                raise CheckpointError(f"{index} names {str(part)[:80]!r}, which is no file beside it", "copy it again")
        return True
    if (folder / "model.safetensors").is_file():
        return True
    pickled = sorted(folder.glob("pytorch_model*.bin"))
    if pickled:
        raise CheckpointError(f"{folder} has {pickled[0].name} and no safetensors", f"add --checkpoint {pickled[0]}")
    if insist:
        raise CheckpointError(f"{folder} has no model.safetensors", "leave --pretrained out for random weights")
    return False


def _load(cls: Any, config: Any, folder: Path) -> tuple[nn.Module, tuple[str, ...]]:
    """Returns the model with the folder's weights, and the names in the files that it does not have."""
    from_folder = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
    try:
        module, info = cls.from_pretrained(
            str(folder),
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # they are told below, with their names
            output_loading_info=True,
            **from_folder,
        )
    except MvdError:
        raise
    except Exception as error:  # safetensors and transformers raise many kinds for what is damaged
        reason = str(error).strip().splitlines()
        raise CheckpointError(
            f"the weights of {folder} cannot be loaded: {reason[0] if reason else type(error).__name__}",
            "copy the folder again",
        ) from error
    missing = sorted(info["missing_keys"])
    other = [f"{key} {tuple(found)}, the model has {tuple(wanted)}" for key, found, wanted in info["mismatched_keys"]]
    for kind, names in (("lack", missing), ("have another shape of", other)):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            raise CheckpointError(
                f"the weights of {folder} {kind} {', '.join(names[:SHOWN])}{more}",
                "nothing is filled in: check config.json, --num-classes and --model-arg",
            )
    return module, tuple(sorted(info["unexpected_keys"]))


def _card(config: Any, folder: Path) -> LibraryCard:
    path = folder / "preprocessor_config.json"
    stored = _read_json(path, "") if path.is_file() else {}
    names = getattr(config, "id2label", None) or {}
    labels = [str(names[i]) for i in sorted(names)]
    named = labels and labels != [f"LABEL_{i}" for i in range(len(labels))]
    height, width = _size(stored, getattr(config, "image_size", None))
    channels = getattr(config, "num_channels", 3)
    return LibraryCard(
        library=version_of(PACKAGE),
        input_size=(channels if isinstance(channels, int) else 3, height, width) if height and width else None,
        preprocessing=_preprocessing(stored) if stored else None,
        classes=distinct(labels) if named else (),
    )


def _size(stored: Mapping[str, Any], default: Any) -> tuple[int, int]:
    """Returns (height, width) that images come to, or those of the configuration; zeros where nobody says."""
    for flag, key in (("do_center_crop", "crop_size"), ("do_resize", "size")):
        if stored.get(flag) and (sides := _sides(stored.get(key))):
            return sides
    return _sides(default) or (0, 0)


def _sides(value: Any) -> tuple[int, int] | None:
    """Returns (height, width) of the forms that sizes have in configurations."""
    if isinstance(value, Mapping):
        value = [value.get("height") or value.get("shortest_edge"), value.get("width") or value.get("shortest_edge")]
    sides = [value, value] if isinstance(value, int) else value
    if isinstance(sides, list | tuple) and len(sides) == 2 and all(isinstance(side, int) for side in sides):
        return sides[0], sides[1]
    return None


def _preprocessing(stored: Mapping[str, Any]) -> Preprocessing | None:
    """Returns what an image processor's configuration says, as (value / 255 - mean) / std."""
    normalised = stored.get("do_normalize", False)
    scale = 255 * float(stored.get("rescale_factor", 1 / 255)) if stored.get("do_rescale", True) else 255.0
    mean = _channels(stored.get("image_mean") if normalised else 0.0)
    std = _channels(stored.get("image_std") if normalised else 1.0)
    if mean is None or std is None or scale <= 0 or min(std) <= 0:
        return None
    size = stored.get("size")
    warp = isinstance(size, Mapping) and "shortest_edge" not in size
    resized, kept = _sides(size), _sides(stored.get("crop_size"))
    crop = min(kept[0] / resized[0], 1.0) if stored.get("do_center_crop") and kept and resized else 1.0
    return Preprocessing(
        mean=(mean[0] / scale, mean[1] / scale, mean[2] / scale),
        std=(std[0] / scale, std[1] / scale, std[2] / scale),
        interpolation=RESAMPLE.get(stored.get("resample", 2), "bilinear"),
        description=f"{stored.get('image_processor_type', 'the image processor')} of transformers",
        crop=crop,
        warp=warp,
        color="BGR" if stored.get("do_flip_channel_order") else "RGB",
    )


def _channels(value: Any) -> tuple[float, float, float] | None:
    values = [value] * 3 if isinstance(value, int | float) else value
    if isinstance(values, list | tuple) and len(values) in (1, 3) and all(isinstance(v, int | float) for v in values):
        one, two, three = values * (3 // len(values))
        return float(one), float(two), float(three)
    return None
