"""What stands between the images of a comparison and an artifact whose borders are an app's."""

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from mobilevit_deploy.runners import Array, Runner


class PixelRunner:
    """Feeds an artifact that takes pixel values 0 to 255 with what normalised images were before."""

    def __init__(self, runner: Runner, mean: Sequence[float], std: Sequence[float]) -> None:
        """Takes mean and std per channel, of values in [0, 1], in the artifact's own colour order."""
        self.name, self.settings = runner.name, runner.settings
        self._runner = runner
        self._mean, self._std = (np.array(values).reshape(-1, 1, 1) for values in (mean, std))  # (C, 1, 1)

    def run(self, batch: Array) -> Sequence[Array]:
        return self._runner.run((255 * (batch * self._std + self._mean)).astype(np.float32))


class ProbabilityRunner:
    """The probabilities of a classifier whose one output is logits, (B, classes)."""

    def __init__(self, runner: Runner) -> None:
        self.name, self.settings = runner.name, runner.settings
        self._runner = runner

    def run(self, batch: Array) -> Sequence[Array]:
        (logits,) = self._runner.run(batch)
        return [softmax(logits.astype(np.float64), axis=-1).astype(np.float32)]
