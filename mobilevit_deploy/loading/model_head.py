"""A model's head: what a user asks of it, and what became of that."""

from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import ValidationError
from torch import nn

from mobilevit_deploy.catalog.decision import Decision, LabelMap, Suppression, SuppressionRule
from mobilevit_deploy.catalog.head_card import HeadCard, Output
from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.loading.class_names import ClassNames


@dataclass(frozen=True)
class HeadOptions:
    """As the user gave them; ``None`` leaves the choice to the head's card.

    Attributes:
        output: what the graph returns.
        score_threshold: of detections, with the output ``nms``, as the other two.
        iou_threshold: see ``SuppressionRule``.
        max_detections: see ``SuppressionRule``.
    """

    output: Output | None = None
    score_threshold: float | None = None
    iou_threshold: float | None = None
    max_detections: int | None = None

    def given(self) -> list[str]:
        """Returns the options that were given, as they are typed."""
        values = {"--output": self.output, **{_option(name): value for name, value in self._thresholds().items()}}
        return [option for option, value in values.items() if value is not None]

    def _thresholds(self) -> dict[str, float | int]:
        names = ("score_threshold", "iou_threshold", "max_detections")
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def check(self, head: HeadCard | None, task: str, batch: int) -> None:
        """Raises UsageError for options that this task does not have."""
        if head is None:
            if given := self.given():
                raise UsageError(f"{given[0]} is for --task segment and --task detect, not for {task}", "leave it out")
            return
        output = self.output or head.outputs[0]
        if output not in head.outputs:
            raise UsageError(f"--task {task} has no output {output!r}", f"it has {', '.join(head.outputs)}")
        if output == "nms" and batch != 1:
            raise UsageError(f"--output nms with a batch of {batch}", "it is for one image: leave --batch out")
        if output != "nms" and (given := [_option(name) for name in self._thresholds()]):
            raise UsageError(f"{given[0]} with --output {output}, which leaves all boxes", "add --output nms")
        self._rule(head)

    def head_of(self, card: HeadCard, module: nn.Module, classes: ClassNames) -> "ModelHead":
        """Returns what a model with a head is.

        Args:
            card: of the head.
            module: of ``architectures/heads/``.
            classes: as the checkpoint tells them.

        Raises:
            UsageError: a map of the labels of one class, which would be the same for every image.
        """
        output, built = self.output or card.outputs[0], cast(Any, module)  # nn.Module knows no attributes of its own
        if output == "labels" and built.num_classes == 1:
            raise UsageError("--output labels of one class, which every pixel has", "give --output logits")
        rule, suppression = self._rule(card), None
        if rule:
            suppression = Suppression(**rule.model_dump(), strides=built.strides, anchors=len(built.anchor_shapes))
        decisions: dict[str, Decision | None] = {"labels": LabelMap(), "nms": suppression}
        return ModelHead(card, output, built.num_classes, classes, decisions.get(output), suppression)

    def _rule(self, head: HeadCard) -> SuppressionRule | None:
        """Returns the card's rule with what the user gave; raises UsageError for a value that cannot be."""
        if head.suppression is None:
            return None
        try:
            return SuppressionRule(**head.suppression.model_dump() | self._thresholds())
        except ValidationError as error:
            first = error.errors()[0]
            option = _option(str(first["loc"][0]))
            raise UsageError(
                f"{option} {first['input']}: {first['msg'].lower()}", "leave it out for the default"
            ) from error


@dataclass(frozen=True)
class ModelHead:
    """What a model with a head returns.

    Attributes:
        card: of the head.
        output: of the artifact.
        num_classes: of a pixel or a box.
        classes: what they are called, where the checkpoint tells it.
        decision: what is decided behind the module's own outputs; None where it is nothing.
        suppression: how boxes are chosen, by the graph or by whoever runs it; None for a head without boxes.
    """

    card: HeadCard
    output: Output
    num_classes: int
    classes: ClassNames = field(default_factory=ClassNames)
    decision: Decision | None = None
    suppression: Suppression | None = None


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
