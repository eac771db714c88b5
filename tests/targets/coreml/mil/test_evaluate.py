"""What is computed when, what is kept, and how fp16 is held."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.evaluate import Evaluator
from mobilevit_deploy.targets.coreml.mil.operations import HANDLERS
from mobilevit_deploy.targets.coreml.mil.program import (
    Argument,
    Function,
    Literal,
    NamedType,
    Operation,
    Reference,
    TensorType,
)
from mobilevit_deploy.targets.coreml.mil.values import Mode
from tests.targets.coreml.mil.single import data_type

HALF, SINGLE = TensorType(data_type("fp16"), (2,)), TensorType(data_type("fp32"), (2,))


def operation(op: str, output: str, declared: TensorType, **inputs: str | float) -> Operation:
    arguments: dict[str, tuple[Argument, ...]] = {
        name: (Reference(value) if isinstance(value, str) else Literal(np.array(value, np.float16)),)
        for name, value in inputs.items()
    }
    return Operation(op, output, arguments, {}, (NamedType(output, declared),))


def evaluator(*operations: Operation, mode: Mode = "fp16_storage", declared: TensorType = HALF) -> Evaluator:
    function = Function("main", (NamedType("x", declared),), operations, (operations[-1].outputs[0].name,))
    return Evaluator(function, lambda blob: np.zeros(0), mode)


CHAIN = [operation("exp", "a", HALF, x="x"), operation("square", "b", HALF, x="a"), operation("tanh", "c", HALF, x="b")]


def test_a_value_is_let_go_after_its_last_use() -> None:
    alive: dict[str, weakref.ref[Tensor]] = {}

    def watch(_: Operation, name: str, value: Tensor) -> None:
        gc.collect()
        if name == "c":
            assert alive["a"]() is None
            assert alive["b"]() is not None
        alive[name] = weakref.ref(value)

    evaluator(*CHAIN).run({"x": torch.ones(2)}, observe=watch)
    assert list(alive) == ["a", "b", "c"]


def test_what_depends_on_no_input_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scalar = TensorType(data_type("fp16"), ())
    opened = evaluator(operation("exp", "two", scalar, x=0.5), operation("add", "y", HALF, x="x", y="two"))
    monkeypatch.delitem(HANDLERS, "exp")
    seen: list[str] = []
    result = opened.run({"x": torch.ones(2)}, observe=lambda _, name, value: seen.append(name))
    assert seen == ["y"]
    assert torch.as_tensor(result["y"]).tolist() == [1 + float(np.float16(np.exp(0.5)))] * 2


@pytest.mark.parametrize(
    ("mode", "dtype", "expected"),
    [
        ("fp16_storage", torch.float32, float(np.float16(np.float16(0.1) / 3))),
        ("half", torch.float16, float(np.float16(np.float16(0.1) / 3))),
        ("widened", torch.float32, float(np.float32(0.1) / 3)),
    ],
)
def test_how_fp16_is_held(mode: Mode, dtype: torch.dtype, expected: float) -> None:
    opened = evaluator(operation("real_div", "y", HALF, x="x", y=3.0), mode=mode)
    found = torch.as_tensor(opened.run({"x": torch.full((2,), 0.1)})["y"])
    assert found.dtype == dtype
    assert found.tolist() == pytest.approx([expected] * 2, rel=1e-7)


def test_single_precision_is_never_rounded() -> None:
    opened = evaluator(operation("identity", "y", SINGLE, x="x"), declared=SINGLE)
    assert (
        torch.as_tensor(opened.run({"x": torch.tensor([0.1, 1e9])})["y"]).tolist() == torch.tensor([0.1, 1e9]).tolist()
    )


def test_without_a_half_kernel_single_is_computed_and_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def picky(x: Tensor) -> Tensor:
        if x.dtype == torch.float16:
            raise RuntimeError("\"exp\" not implemented for 'Half'")
        return x.exp()

    monkeypatch.setitem(HANDLERS, "exp", dataclasses.replace(HANDLERS["exp"], function=picky))
    found = torch.as_tensor(evaluator(CHAIN[0], mode="half").run({"x": torch.ones(2)})["a"])
    assert found.dtype == torch.float16
    assert found.tolist() == [float(np.float16(np.e))] * 2


def test_another_error_of_a_kernel_names_the_operation() -> None:
    opened = evaluator(operation("matmul", "y", HALF, x="x", y="x"))
    with pytest.raises(ArtifactError, match=r"matmul 'y' cannot be computed: 'y' has the shape \[\]"):
        opened.run({"x": torch.ones(2)})


def test_inputs_are_checked() -> None:
    with pytest.raises(ArtifactError, match="an input 'x', and no value was given"):
        evaluator(*CHAIN).run({})
    with pytest.raises(ArtifactError, match=r"takes 'x' in the shape \[2\], and was given \[3\]"):
        evaluator(*CHAIN).run({"x": torch.ones(3)})


def test_the_input_is_never_written_to() -> None:
    x = torch.ones(2)
    evaluator(*CHAIN).run({"x": x})
    assert x.tolist() == [1.0, 1.0]
