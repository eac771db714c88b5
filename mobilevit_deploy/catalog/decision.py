"""What an artifact decides after the maps of its model: the class of each pixel, or which boxes are left."""

from pydantic import Field

from mobilevit_deploy.catalog.cards import Card


class LabelMap(Card):
    """The class of every pixel: the place of its largest logit."""


class SuppressionRule(Card):
    """How the boxes are chosen that are left.

    Attributes:
        candidates: boxes and classes that are taken of each level, the best ones.
        score_threshold: only what scores more is taken.
        iou_threshold: of two boxes of a class that overlap by more, the one with the lower score goes.
        max_detections: that are left in the end, the best ones.
    """

    candidates: int = Field(gt=0, le=2**16)
    score_threshold: float = Field(ge=0, lt=1)
    iou_threshold: float = Field(gt=0, le=1)
    max_detections: int = Field(gt=0, le=2**16)


class Suppression(SuppressionRule):
    """The same for boxes in a certain order.

    Attributes:
        strides: of the levels that the boxes come from, in pixels, in order.
        anchors: boxes of each cell of a level.
    """

    strides: tuple[int, ...]
    anchors: int = Field(gt=0)

    def level_sizes(self, height: int, width: int) -> tuple[int, ...]:
        """Returns how many boxes each level has for an image of a size in pixels."""
        return tuple(-(-height // stride) * -(-width // stride) * self.anchors for stride in self.strides)


Decision = LabelMap | Suppression
