"""The same program with arrays where an app has images and labels.

coremltools' app sends arrays and takes arrays, so a package with an image input, or a classifier's labels, cannot be
measured as it is. Its twin has the same operations and weights; only the description changes, and ``classify``, which
looks up a label on the CPU, is left out. Of a detector's pipeline the twin is the network alone: what comes after it is
no operation of a program, and its thresholds are numbers. What the twin does not do is Core ML's own conversion of a
camera's image.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.targets.coreml.mil.features import describe
from mobilevit_deploy.targets.coreml.mil.package import Package

# ArrayDataType of FeatureTypes.proto, by DataType of MIL.proto: FLOAT16 and FLOAT32.
ARRAY_TYPES = {10: 65552, 11: 65568}
FIRST_WITH_HALF_ARRAYS = 7  # specification version of iOS 16


@dataclass(frozen=True)
class Twin:
    """What is measured in a package's place: itself where ``changes`` is empty."""

    path: Path
    changes: tuple[str, ...]


def tensor_twin(path: Path, folder: Path) -> Twin:
    """Returns a package that takes and returns arrays only.

    Args:
        path: the package.
        folder: for the twin, if there has to be one.

    Raises:
        ArtifactError: the package is damaged.
        MeasurementError: its image may have any size within bounds.
    """
    package = Package(path)
    model = package.network
    described = [model.description, *model.description.functions]
    changes = [_image_to_array(feature, model) for item in described for feature in item.input if _is_image(feature)]
    labelled = [function for function in model.mlProgram.functions.values() if _remove_labels(function, model)]
    if labelled:
        changes.append("the probabilities are returned as an array, without labels")
    if package.suppression:
        changes.append("the non-maximum suppression after the network is left out")
    if not changes:
        return Twin(path, ())
    copy = folder / f"twin-of-{path.name}"
    if copy.exists():
        shutil.rmtree(copy)
    shutil.copytree(path, copy)
    model.specificationVersion = max(model.specificationVersion, FIRST_WITH_HALF_ARRAYS)
    Package(copy).model_file.write_bytes(model.SerializeToString())
    return Twin(copy, tuple(dict.fromkeys(changes)))


def _is_image(feature: Any) -> bool:
    return bool(feature.type.WhichOneof("Type") == "imageType")


def _image_to_array(feature: Any, model: Any) -> str:
    """Replaces an image by an array of its pixel values, (1, C, H, W), as the program takes them."""
    image = describe(feature)
    if image.ranges:
        raise MeasurementError(
            f"the image {image.name} may have any size within bounds, and a figure belongs to one",
            "export the package with one --input-size",
        )
    array = feature.type.multiArrayType
    array.shape.extend(image.shape)
    array.dataType = _array_type(model, image.name)
    for shape in image.shapes:
        array.enumeratedShapes.shapes.add().shape.extend(shape)
    return f"the image {image.name} is given as an array of shape {'x'.join(map(str, image.shape))}"


def _array_type(model: Any, name: str) -> int:
    for function in model.mlProgram.functions.values():
        for item in function.inputs:
            if item.name == name:
                return ARRAY_TYPES[item.type.tensorType.dataType]
    raise MeasurementError(f"the program has no input {name!r}, which the package describes", "export it again")


def _remove_labels(function: Any, model: Any) -> bool:
    """Takes ``classify`` out of a function, and describes what goes into it as the result."""
    block = function.block_specializations[function.opset]
    found = next((operation for operation in block.operations if operation.type == "classify"), None)
    if found is None:
        return False
    probabilities = found.inputs["probabilities"].arguments[0].name
    labels = {item.name for item in found.outputs}
    kept = [name for name in block.outputs if name not in labels]
    del block.outputs[:]
    block.outputs.extend([*kept, probabilities])
    block.operations.remove(found)
    type_of = {item.name: item.type for operation in block.operations for item in operation.outputs}
    for described in (model.description, *model.description.functions):
        others = [item for item in described.output if item.name in kept]
        del described.output[:]
        described.output.extend(others)
        result = described.output.add(name=probabilities)
        result.type.multiArrayType.dataType = ARRAY_TYPES[type_of[probabilities].tensorType.dataType]
        described.ClearField("predictedFeatureName")
        described.ClearField("predictedProbabilitiesName")
    return True
