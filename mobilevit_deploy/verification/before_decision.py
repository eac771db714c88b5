"""The numbers that an artifact decides by, beside PyTorch's: a label map hides what is wrong in the fifth digit."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from mobilevit_deploy.catalog.recipe import Precision, Recipe
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.pipeline.prepare import structured_images
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.runners.base import Array, NotMeasured, Opener, Runner
from mobilevit_deploy.targets.registry import open_before
from mobilevit_deploy.verification.leg import Candidate
from mobilevit_deploy.verification.legs import choose_tolerance, expect
from mobilevit_deploy.verification.parity import Comparison

BEFORE = "before the decision"
BATCHES = 2  # logits of an image of 512 px and 150 classes are 39 million numbers
LARGEST = 2**18  # numbers of an output that are compared, of one image: every seventh, say

Values = TypeVar("Values", Array, Tensor)


def compare_before(
    model: LoadedModel,
    target: str,
    path: Path,
    function: str | None,
    borders: Borders,
    recipe: Recipe,
    precision: Precision,
    prune: float | None,
    comparison: Comparison,
) -> None:
    """Adds the leg of the numbers behind which an artifact decides; notes that it was not run where none shows them.

    None is added for an artifact that decides nothing, and for int8, whose ranges hold images of its own kind. Of a
    model that decides twice, they are those of the first time: what it computes after that hangs on what was decided.

    Args:
        model: perhaps with a head.
        target: of the artifact.
        path: of the artifact.
        function: of it, if it has more than one.
        borders: of the artifact, with its decision.
        recipe: whose tolerance holds.
        precision: of the artifact.
        prune: share of its weights that was set to zero.
        comparison: takes the leg.
    """
    if borders.decision is None or precision == "int8":
        return
    module = model.module if borders.decision.behind_model else FirstStage(model.module)
    with torch.no_grad():
        outputs: dict[str, Tensor] = module(torch.zeros(model.input_shape))
    opener = open_before(target, path, function, [tuple(value.shape) for value in outputs.values()])
    if opener is None:
        comparison.leave_out(BEFORE, "no runner here shows the numbers that such a file decides by")
        return
    numbers = replace(borders, decision=None)
    images = structured_images(model)[: BATCHES * model.input_shape[0]]
    expected = expect(Thinned(module), images, model.input_shape[0], list(outputs), numbers)
    (fed,) = numbers.openers([partial(_open_thinned, opener)])
    assert not isinstance(fed, NotMeasured)  # what was given here opens a file on this machine
    comparison.add(Candidate(BEFORE, precision, choose_tolerance(recipe, precision, prune), [fed]), expected)


def thin(values: Values) -> Values:
    """Returns some of the numbers of an output, (B, ...), evenly spread, as (B, numbers); all where they are few."""
    flat = values.reshape(len(values), -1)
    step = -(-flat.shape[1] // LARGEST) | 1  # odd: an even one would meet the same columns in every row
    return flat[:, ::step]


class FirstStage(nn.Module):
    """A model that decides inside, which returns the numbers that it first decides by."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        numbers: dict[str, Tensor] = cast(Any, self.module).numbers(x)
        return numbers


class Thinned(nn.Module):
    """A model with a head that returns some of its numbers."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: thin(value) for name, value in self.module(x).items()}


def _open_thinned(opener: Opener) -> Runner:
    return ThinnedRunner(opener())


class ThinnedRunner:
    """An opened artifact, of which some numbers are kept."""

    def __init__(self, runner: Runner) -> None:
        self.name, self.settings = runner.name, runner.settings
        self._runner = runner

    def run(self, batch: Array) -> Sequence[Array]:
        return [thin(output) for output in self._runner.run(batch)]
