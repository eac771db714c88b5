"""The inputs of a model that takes more than one image, as people write them: ``mask=1x1x224x224:bool``."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

InputType = Literal["float32", "float16", "int32", "int64", "uint8", "bool"]
TYPES: tuple[InputType, ...] = get_args(InputType)
INTEGERS = ("int32", "int64", "uint8")
MOST_INPUTS = 16
MOST_VALUES = 2**26  # of all inputs together
AXES_OF_IMAGE = 4
LARGEST_CHANNELS = 4  # of what is taken for an image: gray, with alpha, RGB, with depth
EXAMPLE = "mask=1x1x224x224:bool or 'ids=1x77:int64[0,1000)'"

_SIZES = r"[1-9]\d{0,7}(?:x[1-9]\d{0,7}){0,7}"
_INPUT = re.compile(rf"([A-Za-z_]\w{{0,63}})=({_SIZES})(?::([a-z]+\d*))?(?:\[(-?\d{{1,9}}),(-?\d{{1,9}})\))?", re.ASCII)


@dataclass(frozen=True)
class TensorInput:
    """An input of a model.

    Attributes:
        name: of the argument of ``forward``, and of the artifact's input.
        shape: with the batch, if it has one.
        type: of its values.
        low: the smallest test value of an integer.
        high: one more than the largest.
    """

    name: str
    shape: tuple[int, ...]
    type: InputType = "float32"
    low: int = 0
    high: int = 2

    def __str__(self) -> str:
        """Returns it as ``parse_input`` reads it."""
        bounds = f"[{self.low},{self.high})" if self.type in INTEGERS else ""
        return f"{self.name}={'x'.join(map(str, self.shape))}:{self.type}{bounds}"

    @property
    def is_image(self) -> bool:
        """Tells whether it is (N, C, H, W), and its values may be those of an image."""
        channels = self.shape[1] if len(self.shape) == AXES_OF_IMAGE else 0
        return 0 < channels <= LARGEST_CHANNELS and self.type in ("float32", "float16", "uint8")


def parse_input(text: str) -> TensorInput:
    """Reads ``NAME=SIZES``, ``NAME=SIZES:TYPE`` or ``NAME=SIZES:TYPE[LOW,HIGH)``; raises ValueError.

    The range is of an integer's test values: 0 and 1 by default, and all of them for uint8.
    """
    found = _INPUT.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no input: give NAME=SIZES:TYPE, for example {EXAMPLE}")
    name, sizes, given, low, high = found.groups()
    if given not in (None, *TYPES):
        raise ValueError(f"{text!r} has no type that an input may have: {', '.join(TYPES)}")
    kind = cast(InputType, given or "float32")
    shape = tuple(map(int, sizes.split("x")))
    default = (0, 256) if kind == "uint8" else (0, 2)
    if low is None:
        return TensorInput(name, shape, kind, *default)
    bounds = int(low), int(high)
    if kind not in INTEGERS:
        raise ValueError(f"{text!r} has a range, which is for integers: {', '.join(INTEGERS)}")
    if bounds[0] >= bounds[1] or (kind == "uint8" and not 0 <= bounds[0] < bounds[1] <= default[1]):
        raise ValueError(f"{text!r} has a range without values: give [LOW,HIGH), from LOW to HIGH - 1")
    return TensorInput(name, shape, kind, *bounds)


def first_image(inputs: Sequence[TensorInput]) -> TensorInput | None:
    """Returns the first input that is an image, else the first with its four axes; None where there is neither."""
    four = [item for item in inputs if len(item.shape) == AXES_OF_IMAGE]
    return next((item for item in four if item.is_image), next(iter(four), None))


def check_inputs(inputs: Sequence[TensorInput]) -> None:
    """Raises ValueError for a name that is given twice, too many inputs or values, or none with an image's axes."""
    names = [item.name for item in inputs]
    if len(names) > MOST_INPUTS:
        raise ValueError(f"{len(names)} inputs, where {MOST_INPUTS} are the most")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(f"the input {twice} is given twice")
    if sum(math.prod(item.shape) for item in inputs) > MOST_VALUES:
        raise ValueError(f"the inputs {', '.join(names)} have more than {MOST_VALUES:,} values together")
    if inputs and first_image(inputs) is None:
        raise ValueError(f"none of the inputs {', '.join(names)} has the axes of an image, 1xCxHxW")
