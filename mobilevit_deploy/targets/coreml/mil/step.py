"""One operation of a program, bound to its handler."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.operations.registry import Handler, Reader, Results
from mobilevit_deploy.targets.coreml.mil.program import NamedType, Operation, TensorType
from mobilevit_deploy.targets.coreml.mil.values import Mode, Value, fits, settle

# What a handler, or torch in it, raises for values that do not fit the op.
_MISFITS = (RuntimeError, ValueError, LookupError, ArithmeticError)


@dataclass(frozen=True)
class LiveParameter:
    """A parameter that depends on the program's input: its name, how it is read, and from which values."""

    name: str
    reader: Reader
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """An operation that is ready to run.

    Attributes:
        operation: as the program has it.
        handler: what computes it.
        fixed: the parameters that are constant, as the handler takes them.
        live: the others.
    """

    operation: Operation
    handler: Handler
    fixed: Mapping[str, Any]
    live: tuple[LiveParameter, ...]

    def compute(self, values: Mapping[str, Value], mode: Mode) -> tuple[Value, ...]:
        """Returns the outputs, each held as its declared type says.

        Raises:
            ArtifactError: the op cannot take these values, or its result has another shape than is declared.
        """
        parameters = dict(self.fixed)
        for parameter in self.live:
            sources = [values[name] for name in parameter.sources]
            parameters[parameter.name] = read(self.operation, parameter.name, parameter.reader, sources)
        try:
            results = self._call(parameters, mode)
        except _MISFITS as error:
            raise refusal(self.operation, _first_line(error)) from error
        results = results if isinstance(results, tuple) else (results,)
        outputs = self.operation.outputs
        if len(results) != len(outputs):
            raise refusal(self.operation, f"it has {len(results)} results, and the program declares {len(outputs)}")
        return tuple(self._settle(named, result, mode) for named, result in zip(outputs, results, strict=True))

    def _call(self, parameters: Mapping[str, Any], mode: Mode) -> Results:
        try:
            return self.handler.function(**parameters)
        except (RuntimeError, NotImplementedError) as error:
            if mode != "half" or "not implemented for 'Half'" not in str(error):
                raise
        # torch lacks this kernel in half precision: computed in single, and rounded like any result.
        return self.handler.function(**{name: _widen(value) for name, value in parameters.items()})

    def _settle(self, named: NamedType, result: Value, mode: Mode) -> Value:
        if not isinstance(result, Tensor) or not isinstance(named.type, TensorType):
            return result
        if not fits(result.shape, named.type):
            raise refusal(
                self.operation,
                f"{named.name!r} has the shape {list(result.shape)}, "
                f"and the program declares {named.type.show_shape()}",
            )
        return settle(result, named.type.data_type, mode, self.handler.rounds)


def read(operation: Operation, parameter: str, reader: Reader, values: Sequence[Value]) -> Any:
    """Returns a parameter as the handler takes it; raises ArtifactError when the values cannot be read so."""
    try:
        return reader(values)
    except _MISFITS as error:
        raise refusal(operation, f"{parameter!r}: {_first_line(error)}") from error


def refusal(operation: Operation, reason: str) -> ArtifactError:
    """Returns an error that names the operation."""
    return ArtifactError(f"{operation.type} {operation.name!r} cannot be computed: {reason}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _widen(value: Any) -> Any:
    if isinstance(value, list):
        return [_widen(member) for member in value]
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.float16 else value
