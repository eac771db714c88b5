"""Programs that do not hold together."""

from pathlib import Path
from typing import Any

from tests.targets.coreml.mil.conftest import body_of, edit_model, refusal


def test_an_unknown_op(package: Path) -> None:
    def rename(model: Any) -> None:
        next(operation for operation in body_of(model).operations if operation.type == "linear").type = "quantum_leap"

    edit_model(package, rename)
    assert "quantum_leap 'linear_0' is an op that this runner does not know" in refusal(package)


def test_an_unknown_parameter(package: Path) -> None:
    def extend(model: Any) -> None:
        operation = next(operation for operation in body_of(model).operations if operation.type == "linear")
        operation.inputs["gain"].CopyFrom(operation.inputs["weight"])

    edit_model(package, extend)
    message = refusal(package)
    assert "linear 'linear_0' cannot be computed: it has a parameter 'gain', which this runner does not know" in message


def test_a_missing_parameter(package: Path) -> None:
    def cut(model: Any) -> None:
        del next(operation for operation in body_of(model).operations if operation.type == "linear").inputs["weight"]

    edit_model(package, cut)
    assert "linear 'linear_0' cannot be computed: it has no 'weight'" in refusal(package)


def test_a_value_that_nothing_produces(package: Path) -> None:
    def misname(model: Any) -> None:
        body_of(model).operations[-1].inputs["x"].arguments[0].name = "ghost"

    edit_model(package, misname)
    assert "it reads 'ghost', which nothing before it produces" in refusal(package)


def test_another_shape_than_declared(package: Path) -> None:
    def stretch(model: Any) -> None:
        body_of(model).operations[-1].outputs[0].type.tensorType.dimensions[0].constant.size = 3

    edit_model(package, stretch)
    assert "mul 'y' cannot be computed: 'y' has the shape [2, 6], and the program declares [3, 6]" in refusal(package)


def test_a_constant_of_another_size_than_declared(package: Path) -> None:
    def stretch(model: Any) -> None:
        constants = [operation for operation in body_of(model).operations if operation.type == "const"]
        values = [constant.attributes["val"] for constant in constants]
        short = next(value for value in values if value.WhichOneof("value") == "immediateValue")
        short.type.tensorType.dimensions[0].constant.size = 10**15

    edit_model(package, stretch)
    assert "more than 2 GB" in refusal(package)


def test_an_unknown_data_type(package: Path) -> None:
    def retype(model: Any) -> None:
        body_of(model).operations[-1].outputs[0].type.tensorType.dataType = 13

    edit_model(package, retype)
    assert "data type 13 of MIL, which this runner does not know" in refusal(package)


def test_a_description_of_another_program(package: Path) -> None:
    edit_model(package, lambda model: setattr(model.description.output[0], "name", "z"))
    assert "describes an output 'z', which its program does not have" in refusal(package)
    edit_model(package, lambda model: setattr(model.description.input[0], "name", "image"))
    assert "describes the inputs ['image'], and its program has ['x']" in refusal(package)


def test_an_output_that_nothing_produces(package: Path) -> None:
    edit_model(package, lambda model: body_of(model).outputs.append("ghost"))
    assert "function 'main' returns 'ghost', which nothing in it produces" in refusal(package)


def test_numbers_that_are_declared_text(package: Path) -> None:
    def retype(model: Any) -> None:
        body_of(model).operations[0].outputs[0].type.tensorType.dataType = 2

    edit_model(package, retype)
    assert "it declares text, and its value is numbers" in refusal(package)
