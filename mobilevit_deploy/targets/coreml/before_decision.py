"""A Core ML package with the numbers that its decisions are made of in the place of its outputs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.targets.before_decision import Shape, find_numbers
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.coreml.mil.program import Operation, Reference


class BeforeDecision:
    """A package whose outputs are, for each shape, the numbers of that shape that it decides by."""

    name = MilRunner.name

    def __init__(self, path: Path, function: str | None, shapes: Sequence[Shape]) -> None:
        """Opens a package; raises ArtifactError where it is damaged."""
        self._runner, self._package, self._shapes = MilRunner(path, function=function), path.name, tuple(shapes)
        self.settings: Mapping[str, str] = self._runner.settings

    def run(self, batch: Array) -> Sequence[Array]:
        values: dict[str, Tensor] = {}
        made_of: dict[str, tuple[str, ...]] = {}

        def keep(operation: Operation, name: str, value: Tensor) -> None:
            read = (item for items in operation.inputs.values() for item in items)
            made_of[name] = tuple(item.name for item in read if isinstance(item, Reference))
            if value.is_floating_point() and tuple(value.shape) in self._shapes:
                values[name] = value

        self._runner.run_observed(batch, keep)
        known = {name: tuple(value.shape) for name, value in values.items()}
        found = find_numbers(self._runner.decided_by, self._shapes, made_of, known)
        if None in found:
            missing = self._shapes[found.index(None)]
            raise ArtifactError(
                f"{self._package} computes nothing of the shape {list(missing)}, by which it would decide"
            )
        return [values[str(name)].float().numpy() for name in found]
