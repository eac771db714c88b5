"""What the user says of a model's own head in a TOML file: which outputs are scores and boxes, and in which form.

A detector without anchors, whose scores and boxes are decoded already, needs no more than this::

    task = "detect"

    [scores]
    output = "logits"
    activation = "sigmoid"

    [boxes]
    output = "boxes"
    format = "xyxy"
    unit = "pixels"
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from mobilevit_deploy.catalog.cards import Card
from mobilevit_deploy.catalog.decision import SuppressionRule
from mobilevit_deploy.catalog.head_card import Output

Layout = Literal["BNC", "BCN", "BCHW", "BHWC"]
MOST_LEVELS, MOST_SHAPES = 16, 64  # of a detector, and of the anchors of one cell: of an artifact that is no detector's
OutputName = Annotated[str, Field(min_length=1, max_length=200)] | Annotated[int, Field(ge=0)]
Side = Annotated[float, Field(gt=0, le=2**16)]
Shape = tuple[Side, Side]
Shapes = Annotated[tuple[Shape, ...], Field(min_length=1, max_length=MOST_SHAPES)]
ClassName = Annotated[str, Field(min_length=1, max_length=200)]


class Numbers(Card):
    """Where values stand among the model's outputs.

    Attributes:
        output: a name, as in the dictionary that the model returns; a place, where it returns a tuple; a path such as
            ``head.0`` in nested ones; or a list of these. All tensors below are taken, level after level.
        layout: of its axes: B images, N boxes, C values, H rows, W columns. By default BNC of three, BCHW of four.
        columns: the first and the last but one of the C values, where others stand beside them.
    """

    output: OutputName | Annotated[tuple[OutputName, ...], Field(min_length=1, max_length=MOST_LEVELS)]
    layout: Layout | None = None
    columns: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(gt=0)]] | None = None

    @model_validator(mode="after")
    def _columns_have_an_order(self) -> "Numbers":
        if self.columns and self.columns[0] >= self.columns[1]:
            raise ValueError("columns: the second number is larger than the first, as in [4, 84]")
        return self

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """Returns the ways to the outputs, through dictionaries and tuples."""
        names = self.output if isinstance(self.output, tuple) else (self.output,)
        return tuple(tuple(str(name).split(".")) for name in names)


class Scores(Numbers):
    """Scores of boxes: C is the number of classes, and 1 more with a background.

    Attributes:
        activation: what makes scores of 0 to 1 of them.
        background: which of the classes says that a box holds nothing.
    """

    activation: Literal["none", "sigmoid", "softmax"]
    background: Literal["none", "first", "last"] = "none"

    def without_background(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Returns the names of all classes without that of the background, which stands in its place among them."""
        return {"none": names, "first": names[1:], "last": names[:-1]}[self.background]


class Objectness(Numbers):
    """How sure a model is that a box holds something, whatever it is: one value.

    Attributes:
        activation: what makes a value of 0 to 1 of it.
        combine: what the scores are, with it.
    """

    activation: Literal["none", "sigmoid"]
    combine: Literal["product", "geometric mean"] = "product"


class Boxes(Numbers):
    """Boxes: C is 4.

    Attributes:
        format: corners; centre and sides; distances from a cell's point to left, top, right and bottom; or how far
            anchors are moved (in their sides), and the logarithms of the sides over theirs.
        unit: of all but the last.
        stds: what each of the four is multiplied by; of anchors' movements, as in training.
        smallest_scale: of sides over those of an anchor.
        largest_scale: likewise.
        clip: whether boxes end at the image's border.
    """

    format: Literal["xyxy", "cxcywh", "ltrb", "deltas"]
    unit: Literal["pixels", "fractions", "strides"] | None = None
    stds: tuple[Side, Side, Side, Side] = (1.0, 1.0, 1.0, 1.0)
    smallest_scale: float | None = Field(default=None, gt=0)
    largest_scale: float | None = Field(default=None, gt=0)
    clip: bool = True

    @model_validator(mode="after")
    def _fits_its_format(self) -> "Boxes":
        anchored = {
            "stds": self.stds != (1.0, 1.0, 1.0, 1.0),
            "smallest_scale": self.smallest_scale is not None,
            "largest_scale": self.largest_scale is not None,
        }
        if self.format == "deltas" and self.unit:
            raise ValueError("unit: deltas are in sides of the anchors, leave it out")
        if self.format != "deltas" and any(anchored.values()):
            name = next(name for name, given in anchored.items() if given)
            raise ValueError(f"{name}: it is for format = 'deltas'")
        if self.format != "deltas" and self.unit is None:
            raise ValueError("unit: say what boxes are measured in, pixels, fractions (of the image) or strides")
        if self.format in ("xyxy", "cxcywh") and self.unit == "strides":
            raise ValueError("unit: strides are for format = 'ltrb'")
        return self


class Levels(Card):
    """The maps that boxes come from, one cell after the other, row by row.

    Attributes:
        strides: of their cells, in pixels, from fine to coarse; a map has a side of the image's over its stride,
            rounded up.
        centre: where in its cell a point or an anchor's centre is: 0 at the upper left corner, 0.5 in the middle.
        spacing: between points: the stride, or the image's side over the number of cells, where that is no whole one.
    """

    strides: Annotated[tuple[Annotated[int, Field(gt=0, le=2**12)], ...], Field(min_length=1, max_length=MOST_LEVELS)]
    centre: float = Field(default=0.0, ge=0, le=1)
    spacing: Literal["stride", "even"] = "stride"

    def maps(self, height: int, width: int) -> list[tuple[int, int]]:
        """Returns rows and columns of each level's map, for an image of a size in pixels."""
        return [(-(-height // stride), -(-width // stride)) for stride in self.strides]


class Anchors(Card):
    """The boxes that each cell begins with; either their shapes, or sizes and ratios.

    Attributes:
        shapes: of each level, the width and height of each anchor; one list is for all levels.
        sizes: of each level, the sides of squares; one list is for all levels.
        ratios: height over width. The anchors of a cell go by ratio, then by size.
        unit: of shapes and sizes.
    """

    shapes: Annotated[tuple[Shapes, ...], Field(max_length=MOST_LEVELS)] = ()
    sizes: Annotated[tuple[Annotated[tuple[Side, ...], Field(min_length=1)], ...], Field(max_length=MOST_LEVELS)] = ()
    ratios: Annotated[tuple[Annotated[float, Field(gt=0, le=2**8)], ...], Field(min_length=1)] = (1.0,)
    unit: Literal["pixels", "fractions", "strides"]

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "Anchors":
        if bool(self.shapes) == bool(self.sizes):
            raise ValueError("shapes or sizes: give one of them")
        if self.shapes and self.ratios != (1.0,):
            raise ValueError("ratios: they are for sizes, shapes have their own")
        if len(set(map(len, self._shapes()))) > 1 or self.count > MOST_SHAPES:
            raise ValueError(f"shapes or sizes: each level has the same number of anchors, at most {MOST_SHAPES}")
        return self

    @property
    def count(self) -> int:
        """Returns how many anchors a cell has."""
        return len(self._shapes()[0])

    def of_levels(self, count: int) -> tuple[Shapes, ...]:
        """Returns width and height of each anchor of so many levels, in their unit."""
        found = self._shapes()
        return found * count if len(found) == 1 else found

    def _shapes(self) -> tuple[Shapes, ...]:
        made = (
            tuple((size / ratio**0.5, size * ratio**0.5) for ratio in self.ratios for size in sizes)
            for sizes in self.sizes
        )
        return self.shapes or tuple(made)


class Declaration(Card):
    """What all such files hold.

    Attributes:
        classes: their names, in order, without a background; those of the library or the checkpoint by default.
    """

    classes: tuple[ClassName, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> "Declaration":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: two of them have one name")
        return self


# What MMDetection's RetinaNet has.
AS_RETINANET = SuppressionRule(candidates=1000, score_threshold=0.05, iou_threshold=0.5, max_detections=100)


class DetectorDeclaration(Declaration):
    """A detector's head.

    Attributes:
        task: of ``--task``.
        scores: of each box and class.
        boxes: where they are.
        objectness: beside the scores, where there is such a value.
        levels: that the boxes come from; None where nothing depends on it.
        anchors: of ``deltas``.
        suppression: which boxes are left.
    """

    task: Literal["detect"]
    scores: Scores
    boxes: Boxes
    objectness: Objectness | None = None
    levels: Levels | None = None
    anchors: Anchors | None = None
    suppression: SuppressionRule = AS_RETINANET

    @field_validator("suppression", mode="before")
    @classmethod
    def _what_is_left_out_is_as_in_retinanet(cls, given: object) -> object:
        return {**AS_RETINANET.model_dump(), **given} if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _parts_fit(self) -> "DetectorDeclaration":
        form = self.boxes.format
        if form in ("ltrb", "deltas") and self.levels is None:
            raise ValueError(f"levels: boxes.format = {form!r} begins at the cells of levels, give their strides")
        if (form == "deltas") != (self.anchors is not None):
            raise ValueError("anchors: they are for boxes.format = 'deltas', which needs them")
        if (
            self.anchors
            and self.levels
            and len(self.levels.strides)
            not in (
                len(self.anchors.of_levels(1)),
                len(self.anchors.of_levels(len(self.levels.strides))),
            )
        ):
            raise ValueError("anchors: give one list for all levels, or as many lists as levels.strides")
        return self

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Returns what a graph may return, the default first."""
        return "nms", "boxes", "raw"

    @property
    def parts(self) -> dict[str, Numbers]:
        """Returns what is read of the model's outputs."""
        found: dict[str, Numbers] = {"scores": self.scores, "boxes": self.boxes}
        return found | ({"objectness": self.objectness} if self.objectness else {})

    @property
    def anchor_count(self) -> int:
        """Returns how many boxes begin in a cell."""
        return self.anchors.count if self.anchors else 1


class Logits(Numbers):
    """Logits or probabilities of the classes, C of them, of each cell of a map.

    Attributes:
        interpolation: to the image's size, of a map that has another.
        align_corners: whether the centres of the corners' pixels lie on one another.
    """

    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    align_corners: bool = False

    @model_validator(mode="after")
    def _is_a_map(self) -> "Logits":
        if self.layout not in (None, "BCHW", "BHWC"):
            raise ValueError("layout: logits are a map, BCHW or BHWC")
        if self.align_corners and self.interpolation != "bilinear":
            raise ValueError("align_corners: it is for interpolation = 'bilinear'")
        return self


class SegmenterDeclaration(Declaration):
    """A segmenter's head.

    Attributes:
        task: of ``--task``.
        logits: of each class and cell.
    """

    task: Literal["segment"]
    logits: Logits

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Returns what a graph may return, the default first."""
        return "labels", "logits"

    @property
    def parts(self) -> dict[str, Numbers]:
        """Returns what is read of the model's outputs."""
        return {"logits": self.logits}

    @property
    def suppression(self) -> None:
        """Returns nothing: a label map has no boxes."""


HeadDeclaration = Annotated[DetectorDeclaration | SegmenterDeclaration, Field(discriminator="task")]
DECLARATIONS: dict[object, type[DetectorDeclaration] | type[SegmenterDeclaration]] = {
    "detect": DetectorDeclaration,
    "segment": SegmenterDeclaration,
}
