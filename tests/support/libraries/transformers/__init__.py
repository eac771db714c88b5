"""A transformers with one classifier of images, and one model of text; weights are read as ``from_pretrained`` does."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


class TinyConfig:
    def __init__(self, **entries: Any) -> None:
        self.width, self.image_size, self.num_channels = 4, 32, 3
        self.id2label = {0: "LABEL_0", 1: "LABEL_1"}
        for key, value in entries.items():
            setattr(self, key, {int(i): name for i, name in value.items()} if key == "id2label" else value)

    @classmethod
    def from_dict(cls, entries: dict[str, Any]) -> "TinyConfig":
        return cls(**entries)

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    @property
    def num_labels(self) -> int:
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        self.id2label = {i: f"LABEL_{i}" for i in range(count)}


class PreTrainedModel(nn.Module):
    config_class = TinyConfig
    main_input_name = "input_ids"

    @classmethod
    def from_pretrained(cls, folder: str, *, config: Any, use_safetensors: bool, **_: Any) -> tuple[nn.Module, Any]:
        assert use_safetensors
        path, module = Path(folder), cls(config)
        index = path / "model.safetensors.index.json"
        parts = set(json.loads(index.read_text())["weight_map"].values()) if index.exists() else {"model.safetensors"}
        found: dict[str, Tensor] = {}
        for part in parts:
            found |= load_file(path / part)
        own = module.state_dict()
        mismatched = {key for key in found.keys() & own.keys() if found[key].shape != own[key].shape}
        module.load_state_dict({key: value for key, value in found.items() if key in own.keys() - mismatched}, False)
        return module, {
            "missing_keys": own.keys() - found.keys(),
            "unexpected_keys": found.keys() - own.keys(),
            "mismatched_keys": {(key, found[key].shape, own[key].shape) for key in mismatched},
        }


@dataclass
class ImageClassifierOutput:
    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class TinyForImageClassification(PreTrainedModel):
    main_input_name = "pixel_values"

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, config.width, 3)
        self.classifier = nn.Linear(config.width, config.num_labels)

    def forward(self, pixel_values: Tensor) -> ImageClassifierOutput:
        return ImageClassifierOutput(logits=self.classifier(self.stem(pixel_values).mean((2, 3))))


class TinyForText(PreTrainedModel):
    """Takes no image."""


def no_model() -> torch.Tensor:
    return torch.zeros(1)
