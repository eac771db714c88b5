"""The digest of a package's program: the same for the same program, and another for each other one."""

from pathlib import Path
from typing import Any

import pytest

from mobilevit_deploy.targets.coreml.contents import _canonical, read_contents
from mobilevit_deploy.targets.coreml.mil.specification import parse_model
from tests.targets.coreml.mil.conftest import body_of, edit_model


def program(*names: str) -> Any:
    """A model with a function that has these attributes, added in this order."""
    model = parse_model(b"")
    attributes = model.mlProgram.functions["main"].attributes
    for name in names:
        attributes[name].immediateValue.tensor.ints.values.append(len(name))
    return model


def canonical(model: Any) -> bytes:
    return _canonical(model, {})


def test_the_order_of_a_maps_entries_is_none_of_the_program() -> None:
    one, other = program("a", "bb", "ccc"), program("ccc", "a", "bb")
    assert canonical(one) == canonical(other)
    assert len({canonical(item) for item in (one, program("a", "bb"), program("a", "bb", "cccc"))}) == 3
    values = one.mlProgram.functions["main"].attributes
    values["a"].immediateValue.tensor.ints.values[:] = [2]
    values["bb"].immediateValue.tensor.ints.values[:] = [1]
    assert canonical(one) != canonical(other), "two values in each other's place"


def test_nothing_runs_into_what_follows() -> None:
    one, other = parse_model(b""), parse_model(b"")
    one.mlProgram.functions["ab"].opset, other.mlProgram.functions["a"].opset = "c", "bc"
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(body_of(model).operations[-1], "type", "sin"),
        lambda model: setattr(model, "specificationVersion", 8),
        lambda model: setattr(model.description.input[0], "name", "other"),
        lambda model: body_of(model).operations[-1].outputs[0].type.tensorType.dimensions.add(),
        lambda model: body_of(model).outputs.append("more"),
    ],
    ids=["type", "version", "input", "shape", "output"],
)
def test_each_change_of_the_program_is_another_digest(package: Path, change: Any) -> None:
    before = read_contents(package)
    edit_model(package, change)
    after = read_contents(package)
    assert after.graph_sha256 != before.graph_sha256
    assert after.tensors == before.tensors
