"""What an artifact decides after the maps of its model: the class of each pixel, or which boxes are left."""

from typing import ClassVar, Literal

from pydantic import Field

from mobilevit_deploy.catalog.cards import Card


class LabelMap(Card):
    """The class of every pixel: the place of its largest logit."""

    behind_model: ClassVar[bool] = True


class SuppressionRule(Card):
    """How the boxes are chosen that are left.

    Attributes:
        candidates: pairs of box and class that are taken, the best ones.
        candidates_of: what so many are taken of: each level, all levels together, or each class of these.
        score_threshold: only what scores more is taken.
        iou_threshold: of two boxes of a class that overlap by more, the one with the lower score goes.
        max_detections: that are left in the end, the best ones.
    """

    candidates: int = Field(gt=0, le=2**16)
    candidates_of: Literal["level", "image", "class"] = "level"
    score_threshold: float = Field(ge=0, lt=1)
    iou_threshold: float = Field(gt=0, le=1)
    max_detections: int = Field(gt=0, le=2**16)

    @property
    def settings(self) -> tuple[int, float, float, int, bool]:
        """Returns the rule as the suppression's op takes it, behind the sizes of the levels."""
        per_class = self.candidates_of == "class"
        return self.candidates, self.score_threshold, self.iou_threshold, self.max_detections, per_class


class Suppression(SuppressionRule):
    """The same for boxes in a certain order.

    Attributes:
        strides: of the levels that the boxes come from, in pixels, in order; none where all of them are one level.
        anchors: boxes of each cell of a level.
        behind_model: whether it is decided behind all that a model computes.
    """

    behind_model: ClassVar[bool] = True
    strides: tuple[int, ...]
    anchors: int = Field(gt=0)

    def level_sizes(self, boxes: int, height: int, width: int) -> tuple[int, ...]:
        """Returns how many boxes candidates are taken of, of so many in all, for an image of a size in pixels."""
        if not self.strides or self.candidates_of != "level":
            return (boxes,)
        return tuple(-(-height // stride) * -(-width // stride) * self.anchors for stride in self.strides)


class Instances(Suppression):
    """The same inside of a model, which looks at its maps once more where the boxes are that are left."""

    behind_model: ClassVar[bool] = False


Decision = LabelMap | Suppression
