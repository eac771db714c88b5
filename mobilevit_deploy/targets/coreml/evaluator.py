"""Core ML packages on torch ops, on any system: what the saved file computes, not how Apple's kernels do."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.images.input_records import by_name
from mobilevit_deploy.runners.base import Array, Observed, Reading
from mobilevit_deploy.targets.coreml.mil.data_types import FP32
from mobilevit_deploy.targets.coreml.mil.evaluate import Evaluator, Observe
from mobilevit_deploy.targets.coreml.mil.features import Feature, describe
from mobilevit_deploy.targets.coreml.mil.package import Package
from mobilevit_deploy.targets.coreml.mil.program import Function, Literal, Operation, TensorType, decode_function
from mobilevit_deploy.targets.coreml.mil.suppression import Suppression
from mobilevit_deploy.targets.coreml.mil.values import Mode, Value

Inputs = Array | Mapping[str, Array]

READINGS: Mapping[Reading, Mode] = {
    "rounded": "fp16_storage",
    "unrounded": "widened",
    "rounded constants": "half_constants",
}


class MilRunner:
    """An ``.mlpackage``, evaluated in one of three modes.

    ``fp16_storage`` computes in float32 and rounds every fp16 result to fp16, so beyond 65504 lies infinity.
    ``half`` uses torch's half-precision kernels. ``widened`` reads fp16 as float32: what is left of the error is that
    of the weights. ``half_constants`` reads a float32 package as if its constants had been rounded to fp16: what a
    half-precision package of the same graph computes, ``widened``, to the last digits.

    A detector's pipeline returns what its non-maximum suppression leaves, the best box first. Its thresholds are by
    default those of the package; a mapping that is given to ``run`` may set others by the names of their inputs.

    Attributes:
        inputs: what the model takes, without a detector's thresholds.
        thresholds: of a detector, by the names of their inputs; nothing where none can be set.
        outputs: what ``run`` returns, in this order; a classifier's label is left out, for it follows from the
            probabilities.
    """

    name = "mil"

    def __init__(
        self, path: Path, mode: Mode = "fp16_storage", function: str | None = None, like: Path | None = None
    ) -> None:
        """Opens a package and decodes its weights.

        Args:
            path: the folder.
            mode: how fp16 is computed.
            function: of a model that has more than one; its default function if none is named.
            like: the half-precision package that says which constants ``half_constants`` rounds; without it, all.

        Raises:
            ArtifactError: the folder is neither an ML Program nor a detector's pipeline of one, is damaged, or uses an
                op that is unknown here.
        """
        package = Package(path)
        description, function_name = _find_description(package.network.description, function)
        decoded = decode_function(package.network.mlProgram, function_name)
        labels = _find_labels(decoded)
        self.settings: Mapping[str, str] = {"mode": mode, "function": function_name}
        self.inputs: tuple[Feature, ...] = tuple(describe(feature) for feature in description.input)
        outputs = [describe(feature, labels) for feature in description.output]
        self.outputs: tuple[Feature, ...] = tuple(feature for feature in outputs if feature.kind != "label")
        _check_names(decoded, self.inputs, self.outputs)
        self.thresholds: Mapping[str, float] = {}
        self._suppression = package.suppression
        if self._suppression:
            self.thresholds = self._suppression.thresholds()
            self.outputs = _suppressed(package.model.description, self._suppression, self.outputs)
        exact = _kept_constants(like) if like and mode == "half_constants" else frozenset()
        self._evaluator = Evaluator(
            decoded,
            lambda blob: package.blob_file(blob.file).read(blob.offset, blob.data_type, blob.shape),
            mode,
            exact,
        )

    @property
    def decided_by(self) -> tuple[str, ...]:
        """Returns the names of what a suppression is given, boxes and scores; of the outputs where there is none."""
        if self._suppression:
            return self._suppression.coordinates, self._suppression.confidence
        return tuple(feature.name for feature in self.outputs)

    def run(self, batch: Inputs) -> Sequence[Array]:
        """Returns the outputs in the model's order, float32.

        Args:
            batch: of the one input, (N, C, H, W) for an image model: pixel values 0 to 255 in its own colour order,
                for the program holds scale and bias itself. A mapping by name for a model with more inputs.

        Raises:
            ArtifactError: the model does not take this shape, or an op cannot be computed.
        """
        return self._run(batch, None)

    def run_observed(self, batch: Inputs, observe: Observe) -> Sequence[Array]:
        """Runs as ``run`` does, and calls ``observe(operation, name, tensor)`` for every tensor computed, in order."""
        return self._run(batch, observe)

    def observe_all(self, batch: Inputs) -> list[Observed]:
        """Runs as ``run`` does, and returns every tensor that is computed, in order."""
        found: list[Observed] = []
        self._run(batch, lambda operation, name, value: found.append(Observed(name, operation.type, _to_array(value))))
        return found

    def run_recording(self, batch: Inputs, wanted: Collection[str] | None = None) -> dict[str, Array]:
        """Returns intermediate values by their MIL names, in the order they are computed; all unless some are wanted.

        Raises:
            ArtifactError: as ``run``; or a wanted name is none of a computed value.
        """
        recorded: dict[str, Array] = {}

        def keep(_: Operation, name: str, value: Tensor) -> None:
            if wanted is None or name in wanted:
                recorded[name] = _to_array(value)

        self._run(batch, keep)
        missing = sorted(set(wanted or ()) - recorded.keys())
        if missing:
            raise ArtifactError(f"the program computes no value named {missing[0]!r}")
        return recorded

    def largest_magnitudes(self, batch: Inputs) -> dict[str, float]:
        """Returns the largest absolute value of every float result by its MIL name, in the order of computation.

        In the mode ``widened`` a value above 65504 tells where fp16 would overflow. Infinity and NaN are kept.
        """
        largest: dict[str, float] = {}

        def measure(_: Operation, name: str, value: Tensor) -> None:
            if value.is_floating_point() and value.numel():
                largest[name] = float(value.abs().max())

        self._run(batch, measure)
        return largest

    def _run(self, batch: Inputs, observe: Observe | None) -> Sequence[Array]:
        given = batch if isinstance(batch, Mapping) else self._named(batch)
        tensors = {}
        for feature in self.inputs:
            if feature.name not in given:
                raise ArtifactError(f"the model has an input {feature.name!r}, and no value was given for it")
            array = given[feature.name]
            if not feature.takes(array.shape):
                raise ArtifactError(
                    f"the model takes {feature.name!r} in the shape {feature.show_shapes()}, "
                    f"and was given {list(array.shape)}"
                )
            tensors[feature.name] = torch.from_numpy(np.ascontiguousarray(array))
        results = self._evaluator.run(tensors, observe=observe)
        if self._suppression is None:
            return [_to_array(results[feature.name]) for feature in self.outputs]
        left = self._suppress(self._suppression, results, given)
        return [left[feature.name] for feature in self.outputs]

    def _suppress(
        self, rule: Suppression, results: Mapping[str, Value], given: Mapping[str, Array]
    ) -> dict[str, Array]:
        chosen = {name: float(np.asarray(given.get(name, default))) for name, default in self.thresholds.items()}
        coordinates, confidence = (_to_array(results[name]) for name in (rule.coordinates, rule.confidence))
        iou_threshold = chosen.get(rule.iou_input or "", rule.iou_threshold)
        confidence_threshold = chosen.get(rule.confidence_input or "", rule.confidence_threshold)
        left = rule.run(coordinates, confidence, iou_threshold, confidence_threshold)
        return dict(zip((rule.coordinates_output, rule.confidence_output), left, strict=True))

    def _named(self, batch: Array) -> Mapping[str, Array]:
        return by_name(batch, "" if batch.dtype.names else self._only_input().name)

    def _only_input(self) -> Feature:
        if len(self.inputs) != 1:
            names = ", ".join(feature.name for feature in self.inputs)
            raise ArtifactError(f"the model has {len(self.inputs)} inputs: {names}", "give the values by name")
        return self.inputs[0]


def _find_description(description: Any, function: str | None) -> tuple[Any, str]:
    """Returns the message that describes a function's inputs and outputs, and the function's name."""
    functions = {message.name: message for message in description.functions}
    if not functions:
        return description, function or "main"
    name = function or description.defaultFunctionName
    if name not in functions:
        raise ArtifactError(f"the model has no function {name!r}", f"it has: {', '.join(sorted(functions))}")
    return functions[name], name


def _find_labels(function: Function) -> tuple[str | int, ...]:
    """Returns a classifier's labels, which stand in its last op."""
    for operation in function.operations:
        if operation.type == "classify":
            for argument in operation.inputs.get("classes", ()):
                if isinstance(argument, Literal) and not isinstance(argument.value, str):
                    return tuple(argument.value if isinstance(argument.value, tuple) else argument.value.tolist())
    return ()


def _kept_constants(path: Path) -> frozenset[str]:
    """Returns the names of the constants that a half-precision package keeps in float32, and in float32 alone."""
    package = Package(path)
    _, name = _find_description(package.network.description, None)
    names = {
        named.name: named.type.data_type
        for operation in decode_function(package.network.mlProgram, name).operations
        if operation.type == "const"
        for named in operation.outputs
        if isinstance(named.type, TensorType)
    }
    return frozenset(name for name, kind in names.items() if kind is FP32 and f"{name}_to_fp16" not in names)


def _check_names(function: Function, inputs: Sequence[Feature], outputs: Sequence[Feature]) -> None:
    """Raises ArtifactError when the description and the program do not speak of the same inputs and outputs."""
    taken = {named.name for named in function.inputs if isinstance(named.type, TensorType)}
    described = {feature.name for feature in inputs}
    if taken != described:
        raise ArtifactError(f"the model describes the inputs {sorted(described)}, and its program has {sorted(taken)}")
    for feature in outputs:
        if feature.name not in function.outputs:
            raise ArtifactError(f"the model describes an output {feature.name!r}, which its program does not have")


def _suppressed(description: Any, rule: Suppression, raw: Sequence[Feature]) -> tuple[Feature, ...]:
    """Returns a detector's outputs; those that have any number of rows with the number of its boxes."""
    boxes = {feature.name: feature.shape for feature in raw}
    sources = {rule.coordinates_output: rule.coordinates, rule.confidence_output: rule.confidence}
    found = []
    for feature in map(describe, description.output):
        rows, *rest = boxes[sources[feature.name]] or (0,)
        found.append(replace(feature, shape=(rows if rule.most is None else rule.most, *rest)))
    return tuple(found)


def _to_array(value: Value) -> Array:
    if not isinstance(value, Tensor):
        raise ArtifactError("an output of the model is not a tensor")
    return value.float().numpy()
