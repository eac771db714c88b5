"""One op at a time: what the runner computes, and what coremltools' own value inference says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.data_types import DATA_TYPES, AnyArray, DataType
from mobilevit_deploy.targets.coreml.mil.evaluate import Evaluator
from mobilevit_deploy.targets.coreml.mil.operations import HANDLERS
from mobilevit_deploy.targets.coreml.mil.program import Argument, Function, Literal, NamedType, Operation, TensorType
from mobilevit_deploy.targets.coreml.quiet import quiet_coreml

Inputs = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """An op with its inputs.

    ``expected`` takes the inputs, float arrays as tensors, and returns what must come out; without it coremltools'
    value inference says so, in the opset of the given iOS.
    """

    op: str
    inputs: Inputs
    expected: Callable[..., Any] | None = None
    ios: int = 15

    def __str__(self) -> str:
        settings = [f"{name}={value}" for name, value in self.inputs.items() if not isinstance(value, np.ndarray)]
        return " ".join([self.op, *settings])[:90]


def floats(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> AnyArray:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def integers(*shape: int, seed: int = 0, low: int = 0, high: int = 5) -> AnyArray:
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.int32)


def data_type(name: str) -> DataType:
    return next(candidate for candidate in DATA_TYPES.values() if candidate.name == name)


def literal(value: Any) -> Literal:
    if isinstance(value, str):
        return Literal(value)
    array = np.asarray(value)
    return Literal(array.astype({"f": np.float32, "i": np.int32}.get(array.dtype.kind, array.dtype), copy=False))


def bindings(value: Any) -> tuple[Argument, ...]:
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return tuple(map(literal, value))
    return (literal(value),)


def compute(op: str, inputs: Inputs, outputs: Sequence[TensorType]) -> list[AnyArray]:
    """Evaluates an op on constants, by the way that a program takes."""
    names = [f"result_{i}" for i in range(len(outputs))]
    operation = Operation(
        type=op,
        name="tested",
        inputs={name: bindings(value) for name, value in inputs.items()},
        attributes={},
        outputs=tuple(map(NamedType, names, outputs)),
    )
    function = Function("main", (), (operation,), tuple(names))
    results = Evaluator(function, lambda blob: np.zeros(0), "widened").run({})
    return [value.numpy() for value in results.values() if isinstance(value, Tensor)]


def infer(case: Case) -> list[AnyArray]:
    """Returns what coremltools computes for constants when it builds a program."""
    with quiet_coreml():
        import coremltools
        from coremltools.converters.mil.mil import Builder, Function

        with Function({}, opset_version=getattr(coremltools.target, f"iOS{case.ios}")):
            result = getattr(Builder, case.op)(**case.inputs)
        values = [variable.val for variable in (result if isinstance(result, list | tuple) else [result])]
    assert all(value is not None for value in values), f"coremltools does not infer the value of {case.op}"
    return [np.asarray(value) for value in values]


def expected_results(case: Case) -> list[AnyArray]:
    if case.expected is None:
        return infer(case)
    tensors = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in case.inputs.items()
    }
    results = case.expected(**tensors)
    return [
        result.numpy() if isinstance(result, Tensor) else np.asarray(result)
        for result in (results if isinstance(results, list | tuple) else [results])
    ]


def check(case: Case) -> None:
    """Compares shape, kind and values."""
    expected = expected_results(case)
    declared = [TensorType(data_type(_TYPES[result.dtype.kind]), result.shape) for result in expected]
    found = compute(case.op, case.inputs, declared)
    for wanted, got in zip(expected, found, strict=True):
        assert got.dtype.kind == wanted.dtype.kind
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-6)


_TYPES = {"f": "fp32", "i": "int32", "u": "uint8", "b": "bool"}


def optional_parameters(op: str) -> set[str]:
    handler = HANDLERS[op]
    return set(handler.readers) - handler.required
