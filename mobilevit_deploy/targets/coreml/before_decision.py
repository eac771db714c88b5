"""A Core ML package with the numbers that its decisions are made of in the place of its outputs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.coreml.mil.program import Operation

Shape = tuple[int, ...]


class BeforeDecision:
    """A package whose outputs are, for each shape, the last number of that shape that it computes.

    A decision leaves nothing of the shape of what it is made of: of logits (B, classes, H, W) a label map (B, H, W), of
    boxes (1, N, 4) and scores (1, N, classes) the few that are left.
    """

    name = MilRunner.name

    def __init__(self, path: Path, function: str | None, shapes: Sequence[Shape]) -> None:
        """Opens a package; raises ArtifactError where it is damaged, or two of the shapes are one."""
        if len(set(shapes)) < len(shapes):
            raise ArtifactError(f"two of the values that {path.name} decides by have one shape, and are not told apart")
        self._runner, self._package, self._shapes = MilRunner(path, function=function), path.name, tuple(shapes)
        self.settings: Mapping[str, str] = self._runner.settings

    def run(self, batch: Array) -> Sequence[Array]:
        last: dict[Shape, Tensor] = {}

        def keep(_operation: Operation, _name: str, value: Tensor) -> None:
            if value.is_floating_point() and tuple(value.shape) in self._shapes:
                last[tuple(value.shape)] = value

        self._runner.run_observed(batch, keep)
        if missing := [shape for shape in self._shapes if shape not in last]:
            raise ArtifactError(
                f"{self._package} computes nothing of the shape {list(missing[0])}, by which it would decide"
            )
        return [last[shape].float().numpy() for shape in self._shapes]
