"""The image size that a model was trained for, as its checkpoint tells it, read as untrusted input.

Training scripts save their command line beside the weights: those of MAE, DeiT, ConvNeXt and CAS-ViT as an
``argparse.Namespace`` with ``input_size=224``, timm's with ``img_size=224`` or ``input_size=[3, 224, 224]``.
"""

from collections.abc import Mapping
from typing import Any

from mobilevit_deploy.loading.inert.values import Placeholder

ENTRY = "args"
KEYS = ("input_size", "img_size")
LARGEST_SIDE = 4096  # pixels; a larger one is no image that a phone's model takes


def trained_size(entries: Mapping[str, Any]) -> tuple[int, int] | None:
    """Returns (height, width) in pixels; None where the file does not say it.

    Args:
        entries: of the checkpoint.
    """
    told = entries.get(ENTRY)
    if isinstance(told, Placeholder):
        told = told.state
    if not isinstance(told, Mapping):
        return None
    return next(filter(None, (_size(told.get(key)) for key in KEYS)), None)


def _size(value: object) -> tuple[int, int] | None:
    sides = [value, value] if type(value) is int else list(value)[-2:] if isinstance(value, list | tuple) else []
    sides = 2 * sides if len(sides) == 1 else sides
    whole = [side for side in sides if type(side) is int and 0 < side <= LARGEST_SIDE]
    return (whole[0], whole[1]) if len(whole) == 2 else None
