"""Tensors that are more than a view of stored values, by the function or the class that would make them."""

from dataclasses import dataclass

PLAIN = "save plain tensors: model.state_dict() of the float model, on the CPU"


@dataclass(frozen=True)
class SpecialTensor:
    """What such a tensor is, for a message, and what to do."""

    what: str
    hint: str = PLAIN


SPECIAL_TENSORS = {
    "torch._utils._rebuild_qtensor": SpecialTensor("a quantised tensor"),
    "torch._utils._rebuild_sparse_tensor": SpecialTensor("a sparse tensor"),
    "torch._utils._rebuild_tensor_v3": SpecialTensor("a tensor of a type such as float8"),
    "torch._utils._rebuild_meta_tensor_no_storage": SpecialTensor("a tensor without values, on the device meta"),
    "torch.distributed.tensor.DTensor": SpecialTensor(
        "one shard of a tensor (DTensor)",
        "save whole tensors: torch.distributed.checkpoint.state_dict.get_model_state_dict(model, "
        "options=StateDictOptions(full_state_dict=True))",
    ),
}
MOVED = {"torch.distributed._tensor.api.DTensor": "torch.distributed.tensor.DTensor"}  # before PyTorch 2.5


def special_tensor(kind: str) -> SpecialTensor | None:
    """Returns what a tensor is by the name of what would make it; None for any other object."""
    return SPECIAL_TENSORS.get(MOVED.get(kind, kind))
