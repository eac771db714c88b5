"""A model's head: what a user asks of it, and what became of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast, get_args

from pydantic import ValidationError

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.decision import Decision, Instances, LabelMap, Suppression, SuppressionRule
from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.catalog.head_card import HeadCard, Output
from mobilevit_deploy.catalog.head_declaration import DECLARATIONS, DetectorDeclaration, SegmenterDeclaration
from mobilevit_deploy.catalog.model_card import Preprocessing, Task
from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.loading.class_names import ClassNames
from mobilevit_deploy.system.wrong_values import wrong_values

if TYPE_CHECKING:  # options are looked at before PyTorch is imported
    from torch import nn

HeadRule = HeadCard | DetectorDeclaration | SegmenterDeclaration
OWN = "own"
MOST_INSTANCES = 1000  # as many as are proposed; their maps alone are 0.8 GB, and a file's metadata may ask for them


@dataclass(frozen=True)
class HeadOptions:
    """As the user gave them; ``None`` leaves the choice to the head's card.

    Attributes:
        output: what the graph returns.
        score_threshold: of detections, with the output ``nms``, as the other two.
        iou_threshold: see ``SuppressionRule``.
        max_detections: see ``SuppressionRule``.
        declaration: of the own head of a model that is none of the catalog's.
    """

    output: Output | None = None
    score_threshold: float | None = None
    iou_threshold: float | None = None
    max_detections: int | None = None
    declaration: DetectorDeclaration | SegmenterDeclaration | None = None

    def given(self) -> list[str]:
        """Returns the options that were given, as they are typed."""
        values = {
            "--head": self.declaration,
            "--output": self.output,
            **{_option(name): value for name, value in self._thresholds().items()},
        }
        return [option for option, value in values.items() if value is not None]

    def rule_of(self, reference: str, task: str) -> HeadRule | None:
        """Returns what decides which outputs a model has: its declaration, or the card of the catalog's head.

        Args:
            reference: the MODEL argument.
            task: of the export.
        """
        if catalog.is_own_code(reference):
            return self.declaration
        return catalog.heads().get(cast(Task, task))

    def for_targets(self, head: HeadRule, targets: Sequence[str]) -> HeadOptions:
        """Returns these with an output: what was asked, or the first of the head's that every target has.

        Raises:
            UsageError: a target has no form of the output.
        """
        if isinstance(head, HeadCard) and head.two_stages:
            return replace(self, output=self._output_of_two_stages(head, targets))
        unable = [format_of(name).title for name in targets if not format_of(name).suppresses_boxes]
        if self.output == "nms" and "nms" in head.outputs and unable:
            raise UsageError(
                f"--output nms, but {' and '.join(unable)} has no operation for non-maximum suppression",
                "give --output boxes, and let the app choose among the boxes",
            )
        return replace(
            self, output=self.output or next(output for output in head.outputs if output != "nms" or not unable)
        )

    def _output_of_two_stages(self, head: HeadCard, targets: Sequence[str]) -> Output:
        """Returns what such a head returns; raises UsageError where a target cannot hold its second stage."""
        output = self.output or head.outputs[0]
        unable = [format_of(name).title for name in targets if not format_of(name).pools_regions]
        if output != "raw" and output in head.outputs and unable:
            raise UsageError(
                f"--task {head.task}, but {' and '.join(unable)} has no RoIAlign: an operation that cuts each box out "
                f"of the maps, with as many samples as its size asks for, for {head.title}'s second stage",
                "give --output raw for the first stage's maps, whose boxes the app chooses and cuts out; or --to onnx",
            )
        return output

    def check(self, reference: str, task: str, batch: int) -> None:
        """Raises UsageError for options that this model or task does not have."""
        head, own = self.rule_of(reference, task), catalog.is_own_code(reference)
        declared = self.declaration
        if declared and not own:
            raise UsageError(f"--head, but {reference} is of the catalog, whose heads are known", "leave it out")
        if declared and declared.task != task:
            raise UsageError(f"--head declares a head for {declared.task}", f"give --task {declared.task}")
        if own and task in catalog.heads() and task not in DECLARATIONS:
            raise UsageError(
                f"--task {task}, but {reference} is not of the catalog, and no file declares a head of this kind",
                "give --task features, which returns what the model returns",
            )
        if own and head is None and task in catalog.heads():
            raise UsageError(
                f"--task {task}, but nobody says which of the outputs of {reference} are what",
                "describe them in a TOML file and give --head FILE (docs/how-to/own-heads.md); or --task features",
            )
        if head is None:
            if given := self.given():
                tasks = ", ".join(name for name in get_args(Task) if name in catalog.heads())
                what = f"{given[0]} is for the tasks that have a head ({tasks}), not for {task}"
                raise UsageError(what, "leave it out")
            return
        output = self.output or head.outputs[0]
        if output not in head.outputs:
            raise UsageError(f"--task {task} has no output {output!r}", f"it has {', '.join(head.outputs)}")
        if output == "nms" and batch != 1:
            raise UsageError(f"--output nms with a batch of {batch}", "it is for one image: leave --batch out")
        if output != "nms" and (given := [_option(name) for name in self._thresholds()]):
            if "nms" not in head.outputs:
                raise UsageError(f"{given[0]} is for boxes, and --task {task} has none", "leave it out")
            raise UsageError(f"{given[0]} with --output {output}, which leaves all boxes", "add --output nms")
        self.suppression_of(head)

    def _thresholds(self) -> dict[str, float | int]:
        names = ("score_threshold", "iou_threshold", "max_detections")
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def head_of(
        self, head: HeadRule, module: nn.Module, classes: ClassNames, preprocessing: Preprocessing | None
    ) -> ModelHead:
        """Returns what a model with a head is.

        Args:
            head: its card, or what is declared.
            module: of ``architectures/heads/``.
            classes: as the declaration, the library or the checkpoint tells them.
            preprocessing: of images, as a library tells it.

        Raises:
            UsageError: a map of the labels of one class, which would be the same for every image.
        """
        output, built = self.output or head.outputs[0], cast(Any, module)  # nn.Module knows no attributes of its own
        if output == "labels" and built.num_classes == 1:
            raise UsageError("--output labels of one class, which every pixel has", "give --output logits")
        rule = self.suppression_of(head)
        suppression: Suppression | None = None
        if rule:
            given, decoder = rule.model_dump(), built.decoder
            if isinstance(head, HeadCard) and head.two_stages:  # whose boxes come from no cells
                suppression = Instances(**given, strides=(), anchors=1)
            else:
                suppression = Suppression(**given, strides=decoder.strides, anchors=decoder.anchor_count)
        decisions: dict[str, Decision | None] = {"labels": LabelMap(), "nms": suppression}
        decision = decisions.get(output)
        if isinstance(head, HeadCard):
            source = f"{head.title}; {head.paper}"
            return ModelHead(
                head.head, output, built.num_classes, classes, decision, suppression, head.preprocessing, source
            )
        return ModelHead(
            OWN, output, built.num_classes, classes, decision, suppression, preprocessing, declaration=head
        )

    def suppression_of(self, head: HeadRule) -> SuppressionRule | None:
        """Returns the card's rule with what the user gave; raises UsageError for a value that cannot be."""
        if head.suppression is None:
            return None
        try:
            rule = SuppressionRule(**head.suppression.model_dump() | self._thresholds())
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            default = getattr(head.suppression, name)
            wrong = wrong_values(error, SuppressionRule)[0].removeprefix(f"{name}: ")
            raise UsageError(f"{_option(name)} {first['input']} {wrong}", f"the default is {default}") from error
        if isinstance(head, HeadCard) and head.two_stages and rule.max_detections > MOST_INSTANCES:
            raise UsageError(
                f"--max-detections {rule.max_detections}, each of which gets a mask", f"give at most {MOST_INSTANCES}"
            )
        return rule


@dataclass(frozen=True)
class ModelHead:
    """What a model with a head returns.

    Attributes:
        name: of the head's card; ``own`` for a declared one.
        output: of the artifact.
        num_classes: of a pixel or a box.
        classes: what they are called, where somebody tells it.
        decision: what is decided behind the module's own outputs; None where it is nothing.
        suppression: how boxes are chosen, by the graph or by whoever runs it; None for a head without boxes.
        preprocessing: of images, where somebody tells it.
        source: the paper, of a head of the catalog.
        declaration: of a model's own head.
    """

    name: str
    output: Output
    num_classes: int
    classes: ClassNames = field(default_factory=ClassNames)
    decision: Decision | None = None
    suppression: Suppression | None = None
    preprocessing: Preprocessing | None = None
    source: str | None = None
    declaration: DetectorDeclaration | SegmenterDeclaration | None = None

    @property
    def chosen_by(self) -> Suppression | None:
        """Returns how an app chooses among the boxes that an artifact returns; None where it returns others."""
        return self.suppression if self.output == "boxes" else None


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
