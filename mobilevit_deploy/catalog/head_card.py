"""What ``models/heads/<head>.toml`` holds: a neck and a head that any family's maps can be given to."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mobilevit_deploy.catalog.cards import Card
from mobilevit_deploy.catalog.decision import SuppressionRule
from mobilevit_deploy.catalog.model_card import InputRule, Preprocessing, Task

Output = Literal["logits", "labels", "raw", "boxes", "nms"]  # what a graph with a head returns


class HeadInput(Card):
    """Which image sizes a head takes, in pixels.

    Attributes:
        default_size: of both sides, where ``--input-size`` says no other.
        multiple_of: what must divide both sides.
    """

    default_size: int = Field(gt=0)
    multiple_of: int = Field(gt=0)


class HeadCheckpoint(Card):
    """What a checkpoint of a whole model says and holds.

    Attributes:
        class_count: the key whose first dimension is the number of classes, or a whole multiple of it.
        left_aside: patterns of names that training alone uses.
    """

    class_count: str
    left_aside: tuple[str, ...] = ()


class HeadCard(Card):
    """One file of ``models/heads/``.

    Attributes:
        head: also the file's name, and that of its architecture.
        task: that it is for.
        title: of the paper.
        paper: its address.
        repository: of the code that trains it.
        version: of that code, whose outputs were recorded.
        num_classes: where no checkpoint says another number.
        outputs: what the graph may return, the default first.
        two_stages: whether it proposes boxes and looks at its maps once more where they are, to decide by that.
        strides: of the backbone's maps that it takes.
        input: which image sizes it takes.
        preprocessing: of images.
        checkpoint: what a checkpoint says and holds.
        architecture: what the head's ``build`` is given.
        suppression: of boxes that overlap; None for a head without boxes.
    """

    head: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    task: Literal["segment", "detect", "instances"]
    title: str
    paper: str
    repository: str
    version: str
    num_classes: int = Field(gt=0)
    outputs: Annotated[tuple[Output, ...], Field(min_length=1)]
    two_stages: bool = False
    strides: tuple[int, ...]
    input: HeadInput
    preprocessing: Preprocessing
    checkpoint: HeadCheckpoint
    architecture: Mapping[str, Any]
    suppression: SuppressionRule | None = None

    @model_validator(mode="after")
    def _boxes_have_a_rule(self) -> "HeadCard":
        if ("nms" in self.outputs) != (self.suppression is not None):
            raise ValueError("a head with the output nms, and no other, says in suppression how boxes are chosen")
        return self

    @property
    def sizes(self) -> InputRule:
        """Returns the rule of the image sizes, as a family's."""
        task: Task = self.task
        return InputRule(default_size=self.input.default_size, multiple_of={task: self.input.multiple_of})
