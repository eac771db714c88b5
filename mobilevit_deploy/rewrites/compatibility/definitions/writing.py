"""Values that are written into a tensor by index, as ``x[:, [2, 4]] = y`` does, by comparing places."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mobilevit_deploy.rewrites.decomposition import definition

aten = torch.ops.aten


@definition(aten.index_put.default)
def index_put(x: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    """Returns a tensor with other values at some places, or with values added there; the last of several stays.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_put_.html
    """
    axes = [axis for axis, index in enumerate(indices) if index is not None]
    first, last = axes[0], axes[-1]
    given = [index for index in indices if index is not None]
    if len(given) != last - first + 1:
        raise NotImplementedError("indices of axes that are not side by side")
    if given[0].dtype == torch.bool:
        if len(given) > 1 or values.numel() > 1 or accumulate:
            raise NotImplementedError("a mask with a value for each place")
        return torch.where(given[0].view(*given[0].shape, *[1] * (x.ndim - first - given[0].ndim)), values, x)
    place = _in_one_axis(given, x.shape[first : last + 1])
    flat = x.flatten(first, last)
    behind = x.shape[last + 1 :]
    written = values.expand(*x.shape[:first], *place.shape, *behind).reshape(*x.shape[:first], place.numel(), *behind)
    hits = torch.arange(flat.shape[first])[:, None] == place.flatten()
    if accumulate:
        added = (written.movedim(first, -1) @ hits.to(x.dtype).T).movedim(-1, first)
        return (flat + added).view(x.shape)
    source = len(hits[0]) - 1 - hits.flip(1).to(torch.int64).argmax(1)
    there = hits.any(1).view(-1, *[1] * len(behind))
    return torch.where(there, written.index_select(first, source), flat).view(x.shape)


def _in_one_axis(indices: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """Returns the places in axes side by side as places in one axis of all of them."""
    place = torch.zeros_like(indices[0])
    for index, size in zip(indices, sizes, strict=True):
        place = place * size + torch.where(index < 0, index + size, index)
    return place
