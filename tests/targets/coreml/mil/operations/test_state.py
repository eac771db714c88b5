import numpy as np
import pytest
import torch

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.evaluate import Evaluator
from mobilevit_deploy.targets.coreml.mil.program import Function, NamedType, Operation, Reference, StateType, TensorType
from tests.targets.coreml.mil.single import data_type

VECTOR = TensorType(data_type("fp16"), (2,))


def operation(op: str, output: str | None, **inputs: str) -> Operation:
    return Operation(
        type=op,
        name=output or op,
        inputs={name: (Reference(source),) for name, source in inputs.items()},
        attributes={},
        outputs=(NamedType(output, VECTOR),) if output else (),
    )


# Adds x to a state, and returns what the state was before and after.
ACCUMULATE = Function(
    name="main",
    inputs=(NamedType("total", StateType(VECTOR)), NamedType("x", VECTOR)),
    operations=(
        operation("read_state", "before", input="total"),
        operation("add", "sum", x="before", y="x"),
        operation("write_state", None, input="total", data="sum"),
        operation("read_state", "after", input="total"),
    ),
    outputs=("before", "after"),
)


def evaluator() -> Evaluator:
    return Evaluator(ACCUMULATE, lambda blob: np.zeros(0), "fp16_storage")


def test_a_state_lives_on_and_earlier_reads_stay() -> None:
    opened = evaluator()
    states = opened.new_states()
    x = torch.tensor([1.0, 2.0])
    for count in range(3):
        results = opened.run({"x": x}, states)
        assert torch.equal(torch.as_tensor(results["before"]), count * x)
        assert torch.equal(torch.as_tensor(results["after"]), (count + 1) * x)


def test_without_states_every_run_begins_with_zeros() -> None:
    opened = evaluator()
    for _ in range(2):
        assert torch.as_tensor(opened.run({"x": torch.ones(2)})["after"]).tolist() == [1.0, 1.0]


def test_a_state_keeps_its_shape() -> None:
    long = TensorType(data_type("fp16"), (3,))
    write = operation("write_state", None, input="total", data="x")
    function = Function("main", (ACCUMULATE.inputs[0], NamedType("x", long)), (write,), ())
    with pytest.raises(ArtifactError, match=r"write_state.* a state of shape \[2\] cannot take \[3\]"):
        Evaluator(function, lambda blob: np.zeros(0), "fp16_storage").run({"x": torch.ones(3)})
