"""Weights that training keeps in parts, put together as evaluation would.

::

    weight = g * v / |v|                  weight_g, weight_v;  parametrizations.weight.original0, .original1
    weight = w / (u . W v)                weight_orig, weight_u, weight_v;  ....weight.original, ....weight.0._u, .0._v

Source: ``torch/nn/utils/weight_norm.py`` and ``spectral_norm.py``, and their forms in ``parametrizations.py``.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mobilevit_deploy.errors import CheckpointError


@dataclass(frozen=True)
class _Spelling:
    """How one way of training names the parts of a tensor; ``{}`` is the tensor's own name."""

    kind: str
    parts: tuple[str, ...]


SPELLINGS = (
    _Spelling("spectral norm", ("{}_orig", "{}_u", "{}_v")),
    _Spelling("weight norm", ("{}_g", "{}_v")),
)
PARAMETRIZED = (
    _Spelling("weight norm", ("original0", "original1")),
    _Spelling("spectral norm", ("original", "0._u", "0._v")),
)
MOST_SHOWN = 4  # bytes that are seen for each that is stored: parts may be tied
_PARAMETRIZATION = re.compile(r"(?P<module>.*?)parametrizations\.(?P<name>[^.]+)\.(?P<part>.+)")


def fold_parametrizations(
    tensors: Mapping[str, Tensor], expected: Collection[str]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Returns the tensors with parts put together, and a note of how many; a model that expects parts gets them.

    Args:
        tensors: of a checkpoint.
        expected: names of a model.

    Raises:
        CheckpointError: the parts show more than they hold.
    """
    found = dict(tensors)
    folded: dict[str, int] = {}
    wants_parts = any(".parametrizations." in f".{name}" or name.endswith(("_g", "_orig")) for name in expected)
    if wants_parts:
        return found, ()
    wholes = _parts_of(tensors)
    _check_held([tensors[key] for _, keys in wholes.values() for key in keys])
    for name, (kind, keys) in wholes.items():
        parts = [found.pop(key) for key in keys]
        found[name] = _weight_norm(*parts) if kind == "weight norm" else _spectral_norm(*parts)
        folded[kind] = folded.get(kind, 0) + 1
    return found, tuple(f"{kind} folded into {count} tensors" for kind, count in folded.items())


def _check_held(parts: Sequence[Tensor]) -> None:
    """Raises CheckpointError for parts that are views of far less than they show: put together, they would be made."""
    stored = {part.untyped_storage().data_ptr(): part.untyped_storage().nbytes() for part in parts}
    shown = sum(part.numel() * part.element_size() for part in parts)
    if shown > MOST_SHOWN * sum(stored.values()):
        raise CheckpointError(
            f"the parts of weight or spectral norms show {shown:,} bytes and hold {sum(stored.values()):,}",
            "do not use this file, or save it after removing the norms",
        )


def _parts_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Returns the kind and the keys of the parts, by the name of the whole."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for key in tensors:
        parametrized = _PARAMETRIZATION.fullmatch(key)
        if parametrized:
            name = f"{parametrized['module']}{parametrized['name']}"
            stem = key.removesuffix(parametrized["part"])
            candidates = [(way.kind, tuple(stem + part for part in way.parts)) for way in PARAMETRIZED]
        else:
            name = re.sub(r"_(?:orig|g)$", "", key)
            candidates = [(way.kind, tuple(part.format(name) for part in way.parts)) for way in SPELLINGS]
        for kind, keys in candidates:
            if key == keys[0] and all(part in tensors for part in keys):
                found[name] = kind, keys
                break
    return found


def _weight_norm(g: Tensor, v: Tensor) -> Tensor:
    """Scales directions to their lengths; ``g`` has one length for each place along the axes that it keeps."""
    v64, g64 = v.double(), g.double()
    axes = [axis for axis in range(v.ndim) if g.ndim != v.ndim or g.shape[axis] == 1]
    lengths: Tensor = torch.linalg.vector_norm(v64, dim=axes, keepdim=True)
    return (g64 * v64 / lengths).to(v.dtype)


def _spectral_norm(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Divides by the largest singular value, as the training's own power iteration has it."""
    w = weight.double()
    axis = 0 if u.numel() == weight.shape[0] and v.numel() == weight.numel() // weight.shape[0] else 1
    matrix = w.movedim(axis, 0).flatten(1)
    folded: Tensor = (w / (u.double() @ matrix @ v.double())).to(weight.dtype)
    return folded
