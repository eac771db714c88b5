"""Prepares a function: finds each op's handler, decodes the weights, and computes what depends on no input."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.constants import CONSTANT_DECODERS
from mobilevit_deploy.targets.coreml.mil.data_types import STRING, AnyArray
from mobilevit_deploy.targets.coreml.mil.operations import HANDLERS
from mobilevit_deploy.targets.coreml.mil.program import (
    Argument,
    Blob,
    Constant,
    Function,
    Literal,
    Operation,
    Reference,
    TensorType,
)
from mobilevit_deploy.targets.coreml.mil.step import LiveParameter, Step, read, refusal
from mobilevit_deploy.targets.coreml.mil.values import Mode, Value, hold_constant

# What MIL declares as float32 in a half-precision program too: a ratio of sizes is never rounded.
ALWAYS_FLOAT32 = {"scale_factor_height", "scale_factor_width"}

ReadBlob = Callable[[Blob], AnyArray]


@dataclass(frozen=True)
class Bound:
    """A function that is ready to run.

    Attributes:
        steps: what a run computes, in order.
        constants: what the steps and the outputs read and no run changes.
    """

    steps: tuple[Step, ...]
    constants: Mapping[str, Value]


def bind(function: Function, read_blob: ReadBlob, mode: Mode, exact: Collection[str] = ()) -> Bound:
    """Prepares a function.

    Args:
        function: that is prepared.
        read_blob: reads a weight.
        mode: how half precision is computed.
        exact: names of constants that ``half_constants`` does not round.

    Raises:
        ArtifactError: an op or a parameter is unknown, or a weight is missing or damaged.
    """
    _refuse_unknown_ops(function)
    binder = _Binder(function, read_blob, mode, exact)
    with torch.inference_mode():
        steps = tuple(step for operation in function.operations if (step := binder.bind(operation)) is not None)
    for name in function.outputs:
        if not binder.knows(name):
            raise ArtifactError(f"function {function.name!r} returns {name!r}, which nothing in it produces")
    used = {name for step in steps for parameter in step.live for name in parameter.sources} | set(function.outputs)
    return Bound(steps, {name: value for name, value in binder.constants.items() if name in used})


def _refuse_unknown_ops(function: Function) -> None:
    for operation in function.operations:
        if operation.type not in HANDLERS and operation.type not in CONSTANT_DECODERS and operation.type != "const":
            raise ArtifactError(
                f"{operation.type} {operation.name!r} is an op that this runner does not know",
                "the file may be right all the same: run it on a Mac or a device",
            )


class _Binder:
    """The values that are known so far, as a function's operations are gone through in order."""

    def __init__(self, function: Function, read_blob: ReadBlob, mode: Mode, exact: Collection[str]) -> None:
        self.constants: dict[str, Value] = {}
        self._decoded: dict[str, Constant] = {}  # the same as stored, for constexpr ops that read one another
        self._live = {named.name for named in function.inputs}
        self._read_blob = read_blob
        self._mode, self._exact = mode, exact

    def bind(self, operation: Operation) -> Step | None:
        """Returns the operation as a step, or computes it here if nothing in it depends on an input."""
        if operation.type == "const" or operation.type in CONSTANT_DECODERS:
            self._decode(operation)
            return None
        step = self._make_step(operation)
        names = [named.name for named in operation.outputs]
        if step.live:
            self._live.update(names)
            return step
        self.constants.update(zip(names, step.compute({}, self._mode), strict=True))
        return None

    def knows(self, name: str) -> bool:
        """Tells whether a value of this name exists so far."""
        return name in self.constants or name in self._live

    def _make_step(self, operation: Operation) -> Step:
        handler = HANDLERS[operation.type]
        for parameter in sorted(operation.inputs.keys() - handler.readers.keys()):
            raise refusal(operation, f"it has a parameter {parameter!r}, which this runner does not know")
        for parameter in sorted(handler.required - operation.inputs.keys()):
            raise refusal(operation, f"it has no {parameter!r}")
        fixed, live = {}, []
        for parameter, arguments in operation.inputs.items():
            sources = tuple(self._name(operation, argument) for argument in arguments)
            reader = handler.readers[parameter]
            if self._live.isdisjoint(sources):
                values = [self._constant(name, parameter) for name in sources]
                fixed[parameter] = read(operation, parameter, reader, values)
            else:
                live.append(LiveParameter(parameter, reader, sources))
        return Step(operation, handler, fixed, tuple(live))

    def _constant(self, name: str, parameter: str) -> Value:
        """Returns a constant as a parameter takes it."""
        if self._mode == "half_constants" and parameter in ALWAYS_FLOAT32 and name in self._decoded:
            return hold_constant(self._decoded[name], "widened")
        return self.constants[name]

    def _name(self, operation: Operation, argument: Argument) -> str:
        """Returns the name by which an argument is known; a value that stands in the operation gets one."""
        if isinstance(argument, Reference):
            if not self.knows(argument.name):
                raise refusal(operation, f"it reads {argument.name!r}, which nothing before it produces")
            return argument.name
        name = f"{operation.name}/{len(self.constants)}"
        self.constants[name] = hold_constant(self._stored(operation, argument), self._mode)
        return name

    def _decode(self, operation: Operation) -> None:
        arguments: dict[str, Argument] = dict(operation.attributes)
        for parameter, bindings in operation.inputs.items():
            if len(bindings) != 1:
                raise refusal(operation, f"{parameter!r} has {len(bindings)} values")
            arguments[parameter] = bindings[0]
        stored = {parameter: self._stored(operation, argument) for parameter, argument in arguments.items()}
        for named, value in zip(operation.outputs, _decode(operation, stored), strict=True):
            self._decoded[named.name] = value
            self.constants[named.name] = hold_constant(value, "widened" if named.name in self._exact else self._mode)

    def _stored(self, operation: Operation, argument: Argument) -> Constant:
        if isinstance(argument, Blob):
            return self._read_blob(argument)
        if isinstance(argument, Literal):
            return argument.value
        if argument.name not in self._decoded:
            raise refusal(operation, f"it reads {argument.name!r}, which is no constant")
        return self._decoded[argument.name]


def _decode(operation: Operation, stored: Mapping[str, Constant]) -> list[Constant]:
    """Returns the values of a ``const`` or a ``constexpr_*`` op, in the types and shapes that it declares."""
    if operation.type == "const":
        if "val" not in stored or len(operation.outputs) != 1:
            raise refusal(operation, "it has no value")
        results: tuple[Constant, ...] = (stored["val"],)
    else:
        arrays = {name: value for name, value in stored.items() if isinstance(value, np.ndarray)}
        try:
            results = tuple(np.asarray(result) for result in CONSTANT_DECODERS[operation.type](arrays))
        except (LookupError, ValueError) as error:
            raise refusal(operation, f"its data do not fit together: {error}") from error
    if len(results) != len(operation.outputs):
        raise refusal(operation, f"it declares {len(operation.outputs)} results instead of {len(results)}")
    return [
        _as_declared(operation, named.type, result) for named, result in zip(operation.outputs, results, strict=True)
    ]


def _as_declared(operation: Operation, declared: object, value: Constant) -> Constant:
    if not isinstance(value, np.ndarray) or not isinstance(declared, TensorType):
        return value
    if declared.data_type is STRING:
        raise refusal(operation, "it declares text, and its value is numbers")
    if declared.shape != value.shape:
        raise refusal(operation, f"its value has the shape {list(value.shape)}, not {declared.show_shape()}")
    with np.errstate(all="ignore"):  # beyond the range of fp16 lies infinity, as it would on a device
        return value.astype(declared.data_type.numpy, copy=False)
