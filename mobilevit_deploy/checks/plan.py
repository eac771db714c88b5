"""The TOML file of ``mvd check``; read without PyTorch, so that a slip in it is told at once."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mobilevit_deploy.catalog.calibration import STRUCTURED
from mobilevit_deploy.catalog.cards import Delegate
from mobilevit_deploy.catalog.formats import formats
from mobilevit_deploy.catalog.head_card import Output
from mobilevit_deploy.catalog.image_size import parse_image_size
from mobilevit_deploy.catalog.model_card import Layout, Task, WeightsChoice
from mobilevit_deploy.errors import CatalogError, MvdError
from mobilevit_deploy.images.annotations import Annotations
from mobilevit_deploy.system.text_files import read_limited
from mobilevit_deploy.system.wrong_values import wrong_values

LARGEST_FILE = 2**20  # of TOML; a list of checks has kilobytes
Share = Annotated[float, Field(ge=0, le=1)]


ON_ANDROID = ("litert", "onnx", "executorch")  # targets whose files a phone's tools run


class Part(BaseModel):
    """A part of the file; unknown keys are errors, for a limit that is misspelt would never fail."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


PartT = TypeVar("PartT", bound=Part)


class LatencyLimit(Part):
    """The p50 latency against a baseline.

    Attributes:
        baseline: what ``mvd check --update-baselines`` wrote: a file of the target's format, which is timed beside the
            new one in alternating runs, or a ``.json`` of figures, which hold on the machine they are from.
        max_ratio: of the new latency to the baseline's.
        threads: of one run.
        seconds: time limit of the measurement.
    """

    baseline: Path
    max_ratio: float = Field(default=1.05, gt=0)
    threads: int = Field(default=1, ge=1)
    seconds: float = Field(default=30.0, gt=0)


class AccuracyLimit(Part):
    """Accuracy on labelled images, of the artifact against PyTorch.

    Attributes:
        images: folder of class folders, or ``.npz``; of a model with a head, a folder of images.
        masks: folder of their label maps, for ``segment``.
        boxes: their boxes, a JSON file in COCO's format, for ``detect`` and ``instances``.
        reduce_zero_label: in label maps 0 is no class.
        max_drop: of top-1, mIoU or AP, such as 0.005 for half a point.
    """

    images: Path
    masks: Path | None = None
    boxes: Path | None = None
    reduce_zero_label: bool = False
    max_drop: Share

    @property
    def annotations(self) -> Annotations:
        """Returns what is known of the images, for an export."""
        return Annotations(self.masks, self.boxes, self.reduce_zero_label)

    def beside(self, folder: Path) -> "AccuracyLimit":
        """Returns the same with its paths in a folder."""
        paths = {"images": self.images, "masks": self.masks, "boxes": self.boxes}
        return self.model_copy(update={name: folder / path for name, path in paths.items() if path})


class NeuralEngineLimit(Part):
    """The share of a Core ML program's estimated cost that the Neural Engine takes.

    Attributes:
        device: name of an attached iPhone; None for the Mac itself.
        min_share: at least so much.
    """

    min_share: Share
    device: str | None = None


class AndroidLimit(Part):
    """The p50 latency on an attached Android phone.

    Attributes:
        max_ms: at most so many milliseconds.
        device: serial, model or profile of the phone; None for the one that is attached.
        delegate: that the graph is given to.
        threads: of the runtime.
        seconds: time limit of the measurement.
        tool: the runtime's own program; None for that in the folder that ``MVD_ANDROID_TOOLS`` names.
    """

    max_ms: float = Field(gt=0)
    device: str | None = None
    delegate: Delegate = "cpu"
    threads: int = Field(default=4, ge=1)
    seconds: float = Field(default=60.0, gt=0)
    tool: Path | None = None


class Limits(Part):
    """The gates of one export; parity always is one. What is not given is not judged.

    Attributes:
        trained: random weights fail.
        max_bytes: of the artifact.
        max_ops: how many operations of a type there may be; ``total`` counts all.
        latency: against a baseline.
        accuracy: on labelled images.
        neural_engine: where the operations run.
        android: the latency on a phone.
    """

    trained: bool = False
    max_bytes: int | None = Field(default=None, gt=0)
    max_ops: Mapping[str, Annotated[int, Field(ge=0)]] = {}
    latency: LatencyLimit | None = None
    accuracy: AccuracyLimit | None = None
    neural_engine: NeuralEngineLimit | None = None
    android: AndroidLimit | None = None


class Check(Part):
    """One export, with the options of ``mvd export``, and its limits.

    Attributes:
        model: a name, ``net.py:build``, or a library's, such as ``timm:NAME``.
        to: the target.
        name: what reports call the check; model and target where it is left out.
        checkpoint: trained weights.
        weights: which of a checkpoint's.
        key: the entry of it that has them.
        prefix: of the names that are taken, without it.
        ignore: patterns of names that are left aside.
        num_classes: where the checkpoint does not say.
        pretrained: take a library's own weights, which it downloads.
        trained: where a model of one's own code, that loads its weights by itself, has them from.
        model_args: for the function or library that builds the model, by name.
        input_size: ``64``, ``"256x192"`` or ``"1x28x28"``.
        layout: of what the file takes, ``nchw`` or ``nhwc``.
        batch: images per run.
        task: logits, or the maps that a detector needs; ``segment``, ``detect`` and ``instances`` put a head on them.
        output: what a model with a head returns.
        head: file that declares the own head of a model that is none of the catalog's.
        recipe: another than the target's own.
        precision: the recipe's default where it is left out.
        calibrate: images that int8 chooses its ranges by, a folder or ``.npz``, or ``structured`` for a demo; other
            precisions take none.
        opset: of ONNX.
        min_ios: the oldest iOS that reads the file.
        limits: what the export is held to.
    """

    model: str
    to: str
    name: str | None = None
    checkpoint: Path | None = None
    weights: WeightsChoice = "auto"
    key: str = ""
    prefix: str = ""
    ignore: tuple[str, ...] = ()
    num_classes: int | None = None
    pretrained: bool = False
    trained: str | None = None
    model_args: Mapping[str, Any] = {}
    input_size: tuple[int, ...] | None = None
    layout: Layout = "nchw"
    batch: int = Field(default=1, ge=1)
    task: Task = "classify"
    output: Output | None = None
    head: Path | None = None
    recipe: str | None = None
    precision: str | None = None
    calibrate: Path | None = None
    opset: int | None = None
    min_ios: int | None = None
    limits: Limits = Limits()

    @field_validator("input_size", mode="before")
    @classmethod
    def _read_size(cls, value: object) -> object:
        return parse_image_size(str(value)) if isinstance(value, str | int) else value

    @model_validator(mode="after")
    def _limits_are_the_targets(self) -> "Check":
        if self.limits.latency and self.to in formats():
            suffix = formats()[self.to].suffix
            if not formats()[self.to].worker:
                raise ValueError(f"limits.latency is measured on this machine, which does not run to = {self.to!r}")
            if self.limits.latency.baseline.suffix not in (".json", suffix):
                raise ValueError(f"limits.latency: a baseline is a .json file of figures or an earlier {suffix} file")
        if self.limits.neural_engine and self.to != "coreml":
            raise ValueError("limits.neural_engine is for to = 'coreml'")
        if self.limits.android and self.to not in ON_ANDROID:
            raise ValueError(f"limits.android is for to = {' or '.join(map(repr, ON_ANDROID))}")
        return self

    @property
    def title(self) -> str:
        """Returns what reports call it."""
        return self.name or f"{self.model} to {self.to}{f' {self.precision}' if self.precision else ''}"


class CheckFile(Part):
    """The whole file."""

    check: tuple[Check, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _titles_differ(self) -> "CheckFile":
        titles = [check.title for check in self.check]
        double = {title for title in titles if titles.count(title) > 1}
        if double:
            raise ValueError(f"two checks are called {sorted(double)[0]!r}: give each its own name")
        return self


def read_checks(path: Path) -> tuple[Check, ...]:
    """Reads a file; its paths are relative to its own folder.

    Raises:
        CatalogError: it cannot be read, or says something else than a list of checks.
    """
    checks = read_toml(path, CheckFile, "docs/how-to/ci.md").check
    return tuple(beside(check, path.parent) for check in checks)


def read_toml(path: Path, kind: type[PartT], page: str) -> PartT:
    """Reads a TOML file that a user wrote.

    Args:
        path: of the file.
        kind: what it should hold.
        page: of the documentation, that says more.

    Raises:
        CatalogError: it cannot be read, or holds something else.
    """
    try:
        text = read_limited(path, LARGEST_FILE, f"give a TOML file; see {page}").decode("utf-8")
        return kind.model_validate(tomllib.loads(text))
    except MvdError as error:
        raise CatalogError(error.message, error.hint) from error
    except ValidationError as error:
        raise CatalogError(f"{path}: {wrong_values(error, kind)[0]}", f"see {page}") from error
    except (ValueError, RecursionError) as error:  # TOML, UTF-8, a number of too many digits; many brackets
        raise CatalogError(f"{path} is not TOML: {error}", f"see {page}") from error


def beside(check: Check, folder: Path) -> Check:
    """Returns a check with its paths in a folder, which they are relative to."""
    limits = check.limits
    if limits.latency:
        latency = limits.latency.model_copy(update={"baseline": folder / limits.latency.baseline})
        limits = limits.model_copy(update={"latency": latency})
    if limits.accuracy:
        limits = limits.model_copy(update={"accuracy": limits.accuracy.beside(folder)})
    if limits.android and limits.android.tool:
        android = limits.android.model_copy(update={"tool": folder / limits.android.tool})
        limits = limits.model_copy(update={"android": android})
    own = {name: getattr(check, name) for name in ("checkpoint", "head", "calibrate")}
    paths = {name: folder / path for name, path in own.items() if path and str(path) != STRUCTURED}
    return check.model_copy(update={"limits": limits, **paths})
