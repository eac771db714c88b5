"""A model with a head of its own, behind which boxes and scores, or logits, are made of its outputs as declared."""

import re
from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mobilevit_deploy.architectures.heads.anchors import BoxDecoder, by_box
from mobilevit_deploy.catalog.head_declaration import (
    DetectorDeclaration,
    Numbers,
    Objectness,
    Scores,
    SegmenterDeclaration,
)

Path = tuple[str, ...]


def paths_of(outputs: object) -> dict[Path, Tensor]:
    """Returns a model's tensors by their way through dictionaries and tuples; of a lone one it is ``0``."""
    leaves = pytree.tree_flatten_with_path((outputs,) if isinstance(outputs, Tensor) else outputs)[0]
    return {tuple(map(_step, path)): leaf for path, leaf in leaves if isinstance(leaf, Tensor)}


def _step(key: object) -> str:
    return str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", ""))))


def below(outputs: Mapping[Path, Tensor], paths: Sequence[Path]) -> dict[Path, Tensor]:
    """Returns those of a model's tensors whose way begins with one of the paths, in their order."""
    return {own: tensor for path in paths for own, tensor in outputs.items() if own[: len(path)] == path}


class DeclaredDetector(nn.Module):
    """Image (B, 3, H, W) to ``boxes`` (B, N, 4) in pixels and ``scores`` (B, N, classes), or to the own outputs."""

    def __init__(self, model: nn.Module, declaration: DetectorDeclaration, num_classes: int, *, decoded: bool) -> None:
        super().__init__()
        self.model, self.declaration, self.num_classes, self.decoded = model, declaration, num_classes, decoded
        self.decoder = BoxDecoder(declaration.boxes, declaration.levels, declaration.anchors)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        outputs, declared = paths_of(self.model(x)), self.declaration
        if not self.decoded:
            return _own(outputs, declared.parts)
        boxes = self.decoder(self._values(outputs, declared.boxes), *x.shape[2:])
        scores = activated(self._values(outputs, declared.scores), declared.scores)
        if declared.objectness:
            scores = _combined(scores, self._values(outputs, declared.objectness), declared.objectness)
        return {"boxes": boxes, "scores": scores}

    def _values(self, outputs: Mapping[Path, Tensor], part: Numbers) -> Tensor:
        return values_of(list(below(outputs, part.paths).values()), part, self.decoder.anchor_count)


class DeclaredSegmenter(nn.Module):
    """Image (B, 3, H, W) to ``logits``: (B, classes, h, w) as they are, or at the image's own size."""

    def __init__(
        self, model: nn.Module, declaration: SegmenterDeclaration, num_classes: int, *, full_size: bool
    ) -> None:
        super().__init__()
        self.model, self.declaration, self.num_classes, self.full_size = model, declaration, num_classes, full_size

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        rule = self.declaration.logits
        (logits,) = below(paths_of(self.model(x)), rule.paths).values()
        if rule.layout == "BHWC":
            logits = logits.permute(0, 3, 1, 2)
        if rule.columns:
            logits = logits[:, slice(*rule.columns)]
        if self.full_size and logits.shape[2:] != x.shape[2:]:
            bilinear = rule.interpolation == "bilinear"
            corners = rule.align_corners if bilinear else None
            logits = F.interpolate(logits, size=x.shape[2:], mode=rule.interpolation, align_corners=corners)
        return {"logits": logits}


def values_of(levels: Sequence[Tensor], part: Numbers, anchors: int) -> Tensor:
    """Returns the declared values of each box, (B, N, C).

    Args:
        levels: the outputs of that part.
        part: that is declared.
        anchors: of each cell of a map.
    """
    values = by_box(levels, part.layout, anchors)
    return values[..., slice(*part.columns)] if part.columns else values


def activated(values: Tensor, rule: Scores) -> Tensor:
    """Returns scores (B, N, classes) from 0 to 1 of logits or probabilities (B, N, C), without a background."""
    if rule.activation == "sigmoid":
        values = values.sigmoid()
    if rule.activation == "softmax":
        values = values.softmax(dim=-1)
    if rule.background == "none":
        return values
    return values[..., 1:] if rule.background == "first" else values[..., :-1]


def _combined(scores: Tensor, objectness: Tensor, rule: Objectness) -> Tensor:
    if rule.activation == "sigmoid":
        objectness = objectness.sigmoid()
    product = scores * objectness
    return product.sqrt() if rule.combine == "geometric mean" else product


def _own(outputs: Mapping[Path, Tensor], parts: Mapping[str, Numbers]) -> dict[str, Tensor]:
    """Returns the outputs that are declared, as the model returns them."""
    return {name_of(path): tensor for part in parts.values() for path, tensor in below(outputs, part.paths).items()}


def name_of(path: Path) -> str:
    """Returns what a model's output is called in a file."""
    name = re.sub(r"\W", "_", "_".join(path))
    return f"output{name}" if name[:1].isdigit() else name


def build(
    model: nn.Module, declaration: DetectorDeclaration | SegmenterDeclaration, num_classes: int, output: str
) -> nn.Module:
    """Returns a model whose outputs have the form of a head of the catalog.

    Args:
        model: that returns the outputs that are declared.
        declaration: of its head.
        num_classes: of a box or a pixel.
        output: ``raw`` gives the model's own outputs, ``labels`` the logits of every pixel.
    """
    if isinstance(declaration, DetectorDeclaration):
        return DeclaredDetector(model, declaration, num_classes, decoded=output != "raw")
    return DeclaredSegmenter(model, declaration, num_classes, full_size=output == "labels")
