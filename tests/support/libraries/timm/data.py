"""What timm says of a model's images and classes."""

from typing import Any


def resolve_model_data_config(_module: Any) -> dict[str, Any]:
    return {
        "input_size": (3, 32, 48),
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.25, 0.5),
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "crop_mode": "center",
    }


def infer_imagenet_subset(module: Any) -> str | None:
    return "imagenet-1k" if module.num_classes == 1000 else None


class ImageNetInfo:
    def __init__(self, subset: str) -> None:
        self.subset = subset

    def num_classes(self) -> int:
        return 1000

    def index_to_description(self, index: int) -> str:
        return "crane" if index in (134, 517) else f"class {index}"
