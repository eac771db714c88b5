"""What an app's developer asks of a package beyond the graph: image input, labels, and how weights are kept."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from mobilevit_deploy.catalog.decision import Decision, Suppression
from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.catalog.recipe import CompressionScheme
from mobilevit_deploy.errors import MvdError, UsageError
from mobilevit_deploy.graph.graph import Graph, module_path
from mobilevit_deploy.loading.class_names import ClassNames
from mobilevit_deploy.system.text_files import read_limited

Channels = Literal["rgb", "bgr"]
CARD_LABELS = "card"  # what --labels takes in place of a file: the names that a library has for its model's classes

LARGEST_LABELS_FILE = 4 * 2**20  # bytes; ImageNet-21K's names, with all their synonyms, take one


@dataclass(frozen=True)
class AppOptions:
    """What a user asked for.

    Attributes:
        image_input: take an image of values 0 to 255 in place of a normalised array.
        channels: the order of the channels that the model was trained on.
        mean: per channel, of values in [0, 1], in the model's order; None leaves it to the model's card. In a file
            that takes an image it is in the graph, in others it is noted.
        std: likewise.
        labels: a text file, one class a line; or the word for a library's own names.
        keep_fp32: patterns of module paths that stay in float32.
        prune: share of the weights to set to zero.
        sizes: other image sizes, (height, width), that the package takes as well.
        int8_io: take and return int8, with a scale and a zero point, in place of float32.
        runtime: the only one that is to read the file, in which it may have operators of its own.
    """

    image_input: bool = False
    channels: Channels | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    labels: Path | None = None
    keep_fp32: tuple[str, ...] = ()
    prune: float | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    int8_io: bool = False
    runtime: str | None = None

    def given(self) -> list[str]:
        """Returns the options that were given, as they are typed."""
        values = {
            "--image-input": self.image_input,
            "--color": self.channels,
            "--mean": self.mean,
            "--std": self.std,
            "--labels": self.labels,
            "--keep-fp32": self.keep_fp32,
            "--prune": self.prune is not None,
            "--sizes": self.sizes,
            "--int8-io": self.int8_io,
        }
        return [option for option, value in values.items() if value]

    def preprocessing(self, card: Preprocessing | None) -> Preprocessing | None:
        """Returns how images are prepared where --mean and --std, or --color, say it; else None.

        Args:
            card: of the model, which says what is resized and cropped; None for a model without one.
        """
        color: Literal["RGB", "BGR"] = "BGR" if self.channels == "bgr" else "RGB"
        if self.mean is None or self.std is None:
            return card.model_copy(update={"color": color}) if card and self.channels else None
        if len(self.mean) != len(self.std):  # of an image of another number of channels
            return None
        step = -1 if color == "BGR" else 1  # a card's mean and std are in the order RGB
        mean, std = (values[::step] if len(values) == 3 else 3 * values for values in (self.mean, self.std))
        usual = Preprocessing(
            mean=(mean[0], mean[1], mean[2]),
            std=(std[0], std[1], std[2]),
            color=color,
            interpolation="bicubic",
            description="short side resized, centre cropped",
        )
        return card.model_copy(update={"mean": usual.mean, "std": usual.std, "color": color}) if card else usual

    def check(self) -> None:
        """Raises UsageError for options that need another one, or values that cannot be."""
        if self.int8_io and self.image_input:
            raise UsageError("--int8-io with --image-input, whose pixels are bytes already", "leave one of them out")
        if (self.mean is None) != (self.std is None):
            raise UsageError("--mean and --std go together", "give both, or neither for those of the model's card")
        for option, values in (("--mean", self.mean), ("--std", self.std)):
            if values is not None and (len(values) not in (1, 3) or len(values) != len(self.mean or ())):
                raise UsageError(
                    f"{option} has {len(values)} values", "give both three, one a channel, or one for all channels"
                )
        if self.std is not None and min(self.std) <= 0:
            raise UsageError("--std must be positive", "give fractions of 1, such as 0.229,0.224,0.225")
        if self.mean is not None and self.std is not None and max(*self.mean, *self.std) > 1:
            raise UsageError("--mean and --std are fractions of 1", "divide values of 0 to 255 by 255")
        if self.prune is not None and not 0 < self.prune < 1:
            raise UsageError(f"--prune {self.prune:g} is no share between 0 and 1", "half of the weights: --prune 0.5")


@dataclass(frozen=True)
class ImageInput:
    """An image input, pixel values 0 to 255; mean and std per channel of values in [0, 1], in the color's order."""

    color: Literal["RGB", "BGR", "GRAYSCALE"]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class AppInterface:
    """What an app sees of a package beside its arrays.

    Attributes:
        image: set when the input is an image; its normalisation is in the graph.
        labels: set when the one output is the probabilities of named classes.
        keep_fp32: paths of the modules that stay in float32.
        classes: of the pixels or boxes of a model with a head, or of a classifier whose file returns logits.
        decision: what the graph decides of them.
        chosen_by: how an app chooses among the boxes that the graph returns.
        int8_io: whether arrays are int8, with a scale and a zero point.
        own_probabilities: whether the model itself returns probabilities, to which no softmax is added.
        runtime: the only one that reads the file.
    """

    image: ImageInput | None = None
    labels: tuple[str, ...] | None = None
    keep_fp32: tuple[str, ...] = ()
    classes: ClassNames = field(default_factory=ClassNames)
    decision: Decision | None = None
    chosen_by: Suppression | None = None
    int8_io: bool = False
    own_probabilities: bool = False
    runtime: str | None = None

    def input_name(self, own: str) -> str:
        """Returns what the input is called: the image of a detector as Vision's users know it, others as they are."""
        return "image" if self.image and isinstance(self.decision, Suppression) else own


@dataclass(frozen=True)
class Compression:
    """How weights are stored; without a scheme, pruned only."""

    scheme: CompressionScheme | None
    prune: float | None


def choose_image_input(options: AppOptions, shape: Sequence[int], card: Preprocessing | None) -> ImageInput:
    """Makes every choice about an image input.

    Args:
        options: as the user gave them.
        shape: of the model's input, (B, C, H, W).
        card: the card's, with mean and std in the order RGB; None for a model without a card.

    Raises:
        UsageError: an input that is no single image, or a mean and std that are unknown or of another length.
    """
    batch, count = shape[0], shape[1]
    if batch != 1:
        raise UsageError(f"--image-input with a batch of {batch}", "a Core ML image is one: leave --batch out")
    if count not in (1, 3):
        raise UsageError(f"--image-input for {count} channels", "an image has 3 channels, or 1 for gray")
    if count == 1 and options.channels:
        raise UsageError("--color for a gray image", "leave it out")
    bgr = (options.channels or (card.color.lower() if card else "rgb")) == "bgr"
    mean, std = options.mean, options.std
    if mean is None or std is None:
        if card is None:
            raise UsageError(
                "--image-input, but nobody said how this model's images are normalised",
                "add --mean and --std as in training, such as --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
            )
        step = -1 if bgr else 1
        mean, std = card.mean[::step], card.std[::step]
    if not len(mean) == len(std) == count:
        raise UsageError(f"--mean has {len(mean)} values and --std {len(std)}, the image {count} channels")
    return ImageInput("GRAYSCALE" if count == 1 else "BGR" if bgr else "RGB", tuple(mean), tuple(std))


def read_labels(path: Path) -> tuple[str, ...]:
    """Returns the classes' names, one a line, UTF-8; raises MvdError for a file that is none of it."""
    data = read_limited(path, LARGEST_LABELS_FILE, "--labels takes a text file, one class a line")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MvdError(f"{path} is not UTF-8 text", "save it as UTF-8, one class a line") from error
    labels = tuple(line.strip() for line in text.replace("\r\n", "\n").removesuffix("\n").split("\n"))
    first: dict[str, int] = {}
    for number, label in enumerate(labels, 1):
        if not label or not label.isprintable():
            raise MvdError(
                f"line {number} of {path} is {'no plain text' if label else 'empty'}", "give one class a line"
            )
        if first.setdefault(label, number) != number:
            raise MvdError(
                f"lines {first[label]} and {number} of {path} are both {label!r}",
                "an app finds a class's probability by its name: make the names different",
            )
    return labels


def check_labels(
    labels: Sequence[str], path: Path, task: str, outputs: Sequence[tuple[int, ...]], *, written: bool
) -> None:
    """Raises UsageError unless there is one output (B, classes) of a classifier, and one label for each class.

    Args:
        labels: the classes' names.
        path: that they are from.
        task: of the model.
        outputs: their shapes.
        written: whether the file names the class itself, which it does of one image.
    """
    if task != "classify" or len(outputs) != 1 or len(outputs[0]) != 2 or (written and outputs[0][0] != 1):
        shapes = ", ".join("x".join(map(str, shape)) for shape in outputs)
        raise UsageError(f"--labels needs a classifier of one image with one output 1xN; this returns {shapes}")
    if len(labels) != outputs[0][1]:
        raise UsageError(f"{path} has {len(labels)} labels, the model {outputs[0][1]} classes", "give one line a class")


def find_modules(graph: Graph, patterns: Sequence[str]) -> tuple[str, ...]:
    """Returns the paths of the modules that patterns name, and of those inside them.

    Raises:
        UsageError: a pattern matches no module that has an operation left in the graph; with near ones.
    """
    paths = list(dict.fromkeys(module_path(node) for node in graph.nodes if node.op == "call_function"))
    found: set[str] = set()
    for pattern in patterns:
        matching = {path for path in paths if any(fnmatch.fnmatchcase(name, pattern) for name in _and_parents(path))}
        if not matching:
            names = dict.fromkeys(name for path in paths for name in _and_parents(path))
            near = get_close_matches(pattern, names, n=4, cutoff=0.4) or list(names)[:4]
            raise UsageError(
                f"--keep-fp32 {pattern!r} matches no module that has an operation of its own in the graph",
                f"near it: {', '.join(near)}",
            )
        found |= matching
    return tuple(path for path in paths if path in found)


def _and_parents(path: str) -> list[str]:
    parts = path.split(".") if path else []
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
