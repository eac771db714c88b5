"""What an artifact should compute: the reference's outputs, and how sure the reference is of them."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from mobilevit_deploy.catalog.decision import Suppression
from mobilevit_deploy.runners.base import Array, Opener, Runner, Values
from mobilevit_deploy.verification.noise import farthest

PYTORCH = "PyTorch"
LARGEST_WHOLE = 2.0**24  # beyond it every float32 is a whole number

Runs = Iterable[tuple[Opener, float]]


class Expected:
    """What PyTorch computes, before any rewrite; or what a step does that was compared with it.

    Attributes:
        reference: what computed them.
        images: (N, C, H, W), or a record for each run; N is a multiple of the batch.
        batch: the artifact's batch size.
        names: of the outputs.
        outputs: each (N, ...).
        whole: of each output, whether it consists of whole numbers or truth values.
        detections: whether the outputs are those of non-maximum suppression.
        chosen_by: where they are all boxes and scores, how an app chooses among these.
    """

    def __init__(
        self,
        reference: Runner,
        images: Array,
        batch: int,
        names: Sequence[str],
        perturbed: Callable[[float], Runs] | None = None,
        description: str = PYTORCH,
        noise_of: "Expected | None" = None,
        detections: bool = False,
        chosen_by: Suppression | None = None,
    ) -> None:
        """Runs the reference.

        Args:
            reference: PyTorch in float64.
            images: see above.
            batch: see above.
            names: see above.
            perturbed: opens what the reference may come to by roundings of a size, and says by how much each counts.
            description: of the reference, where it is another.
            noise_of: what is moved by rounding as these outputs are, in place of ``perturbed``.
            detections: see above.
            chosen_by: see above.
        """
        self.reference = description
        self.images, self.batch, self.names = images, batch, tuple(names)
        self.outputs = run_all(reference, images, batch)
        self.whole = tuple(map(is_whole, self.outputs))
        self._perturbed, self._noise_of = perturbed, noise_of
        self._far: dict[float, list[Values]] = {}
        self.detections, self.chosen_by = detections, chosen_by
        self._moved: dict[float, list[list[Values]]] = {}

    def far(self, unit: float) -> list[Values] | None:
        """Returns how far roundings of a size move each place of the outputs; None where that is not known."""
        if self._noise_of is not None:
            return self._noise_of.far(unit)
        if self._perturbed is None:
            return None
        if unit not in self._far:
            runs = ((run_all(opener(), self.images, self.batch), factor) for opener, factor in self._perturbed(unit))
            self._far[unit] = farthest(self.outputs, runs)
        return self._far[unit]

    def moved(self, unit: float) -> list[list[Values]]:
        """Returns the outputs of each run with roundings of a size; none where that is not known."""
        if self._noise_of is not None:
            return self._noise_of.moved(unit)
        if self._perturbed is None:
            return []
        if unit not in self._moved:
            openers = (opener for opener, _ in self._perturbed(unit))
            self._moved[unit] = [run_all(opener(), self.images, self.batch) for opener in openers]
        return self._moved[unit]


def is_whole(output: Values) -> bool:
    """Tells whether an output is whole numbers or truth values, which are decided and not computed."""
    return bool(np.abs(output).max(initial=0) <= LARGEST_WHOLE and (output == np.rint(output)).all())


def run_all(runner: Runner, images: Array, batch: int) -> list[Values]:
    """Returns each output over all images, (N, ...)."""
    parts = [runner.run(images[i : i + batch]) for i in range(0, len(images), batch)]
    # Booleans become numbers, and an output without axes gets one.
    return [np.concatenate(list(map(np.atleast_1d, output))).astype(np.float64) for output in zip(*parts, strict=True)]
