"""Small matrices that are trained in place of a model's own weights, to be added to them: LoRA and its kin.

::

    blocks.0.qkv.base_layer.weight, blocks.0.qkv.lora_A.default.weight    peft, beside the weights that they change
    base_model.model.blocks.0.qkv.lora_A.weight                           peft, alone
    lora_unet_blocks_0_qkv.lora_down.weight                               other tools, alone
"""

import re
from collections.abc import Collection

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.checkpoint import Checkpoint
from mobilevit_deploy.loading.checkpoint_files import MERGE

WORDS = ("lora", "dora", "loha", "hada", "lokr", "ia3", "vera")  # of a name, between dots and underscores
OF_THE_BASE = ("weight", "base_layer.weight", "original.weight")  # behind the name of the layer that is adapted


def refuse_adapters(checkpoint: Checkpoint, expected: Collection[str]) -> None:
    """Raises CheckpointError for adapters, unless the model has layers of that name itself.

    Args:
        checkpoint: as it was read.
        expected: names of the model.
    """
    found = {name: place for name in checkpoint.tensors if (place := _place(name)) is not None}
    if not found or any(_place(name) is not None for name in expected):
        return
    first, file = next(iter(found)), checkpoint.path.name
    if any(place + end in checkpoint.tensors for place in found.values() for end in OF_THE_BASE):
        raise CheckpointError(
            f"{file} has LoRA adapters beside their base, such as {first}",
            "merge them first (peft: model.merge_and_unload()), and save the model's own state dict",
        )
    raise CheckpointError(
        f"{file} has LoRA adapters alone, such as {first}, and not the weights that they are added to",
        MERGE,
    )


def _place(name: str) -> str | None:
    """Returns what stands before an adapter's own part of a name, with the dot; None for a name that has none."""
    parts = name.split(".")
    # A tool that writes the whole path of a layer as one part, with such a word before it, has another part behind.
    adapter = next((i for i, part in reversed([*enumerate(parts)]) if not _words(part).isdisjoint(WORDS)), None)
    return None if adapter is None else "".join(f"{part}." for part in parts[:adapter])


def _words(part: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", part.lower()))
