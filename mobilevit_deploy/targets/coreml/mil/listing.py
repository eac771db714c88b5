"""The operations of a package, for ``mvd inspect``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobilevit_deploy.targets.coreml.mil.features import describe
from mobilevit_deploy.targets.coreml.mil.package import Package
from mobilevit_deploy.targets.coreml.mil.pipeline import SUPPRESSION
from mobilevit_deploy.targets.coreml.mil.suppression import Suppression
from mobilevit_deploy.targets.operations import Operation, Tensor


def read_operations(path: Path) -> list[Operation]:
    """Returns the operations of an .mlpackage, constants left out; a detector's suppression is the last one.

    Raises:
        ArtifactError: the folder is damaged, or its model is neither an ML Program nor a detector's pipeline of one.
    """
    package = Package(path)
    operations = [
        operation
        for function in package.network.mlProgram.functions.values()
        for block in function.block_specializations.values()
        for operation in _operations(function, block)
    ]
    return operations + ([_suppression(package, package.suppression)] if package.suppression else [])


def _suppression(package: Package, rule: Suppression) -> Operation:
    shapes = {message.name: describe(message).shape for message in package.network.description.output}
    inputs = [shapes[name] for name in (rule.coordinates, rule.confidence)]
    rows = "?" if rule.most is None else rule.most
    return Operation(
        SUPPRESSION,
        SUPPRESSION,
        tuple(Tensor(shape, "float32") for shape in inputs),
        tuple(Tensor((rows, *shape[1:]), "float32") for shape in inputs),
        last=True,
    )


def _operations(function: Any, block: Any) -> Iterator[Operation]:
    known = {item.name: _tensor(item.type) for item in function.inputs}
    for operation in block.operations:
        outputs = [_tensor(item.type) for item in operation.outputs]
        known |= {item.name: tensor for item, tensor in zip(operation.outputs, outputs, strict=True)}
        if is_stored(operation):
            continue
        names = [binding.name for argument in operation.inputs.values() for binding in argument.arguments]
        yield Operation(
            operation.type,
            operation.outputs[0].name if operation.outputs else operation.type,
            tuple(known[name] for name in names if name in known),
            tuple(outputs),
            any(item.name in block.outputs for item in operation.outputs),
        )


def is_stored(operation: Any) -> bool:
    """Tells whether an operation only returns a stored value, decompressed or as it is."""
    return operation.type == "const" or str(operation.type).startswith("constexpr_")


def _tensor(value_type: Any) -> Tensor:
    tensor = value_type.tensorType
    shape = tuple(int(dim.constant.size) if dim.HasField("constant") else "?" for dim in tensor.dimensions)
    return Tensor(
        shape,
        type(tensor).DESCRIPTOR.fields_by_name["dataType"].enum_type.values_by_number[tensor.dataType].name.lower(),
    )
