"""Hostile and broken .mlpackage folders: each is an edit of a good one, by what is wrong with it."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mobilevit_deploy.targets.coreml.mil.specification import parse_model

MANIFEST = "Manifest.json"
MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
HUGE = 2**40

Edit = Callable[[Path], object]
EditModel = Callable[[Any], object]
FLOAT16, FLOAT32, INT32, BOOL = 10, 11, 23, 1


def write(name: str, content: bytes | str) -> Edit:
    return lambda package: (package / name).write_bytes(content.encode() if isinstance(content, str) else content)


def manifest(edit: Callable[[dict[str, Any]], object]) -> Edit:
    def change(package: Path) -> None:
        content = json.loads((package / MANIFEST).read_text())
        edit(content)
        (package / MANIFEST).write_text(json.dumps(content))

    return change


def points_to(path: object) -> Edit:
    return manifest(lambda content: content["itemInfoEntries"][content["rootModelIdentifier"]].update(path=path))


def replaced(name: str, make: Callable[[Path], object]) -> Edit:
    def change(package: Path) -> None:
        (package / name).unlink()
        make(package / name)

    return change


def model(edit: EditModel) -> Edit:
    def change(package: Path) -> None:
        content = parse_model((package / MODEL).read_bytes())
        edit(content)
        (package / MODEL).write_bytes(content.SerializeToString())

    return change


def block_of(content: Any) -> Any:
    (function,) = content.mlProgram.functions.values()
    return function.block_specializations[function.opset]


def operation(content: Any, *types: str) -> Any:
    return next(item for item in block_of(content).operations if item.type in types)


def first_blob(content: Any) -> Any:
    constants = (item for item in block_of(content).operations if item.type == "const")
    return next(
        item.attributes["val"] for item in constants if item.attributes["val"].WhichOneof("value") == "blobFileValue"
    )


def set_dims(tensor: Any, *sizes: int) -> None:
    del tensor.dimensions[:]
    for size in sizes:
        tensor.dimensions.add().constant.size = size
    tensor.rank = len(sizes)


def declare(*sizes: int, of: tuple[str, ...] = ("conv",)) -> Edit:
    return model(lambda content: set_dims(operation(content, *of).outputs[0].type.tensorType, *sizes))


def declare_input(*sizes: int) -> Edit:
    def edit(content: Any) -> None:
        (function,) = content.mlProgram.functions.values()
        set_dims(function.inputs[0].type.tensorType, *sizes)
        array = content.description.input[0].type.multiArrayType
        array.shape[:] = sizes

    return model(edit)


def set_blob(**fields: object) -> Edit:
    def edit(content: Any) -> None:
        for name, value in fields.items():
            setattr(first_blob(content).blobFileValue, name, value)

    return model(edit)


def set_blob_shape(*sizes: int) -> Edit:
    def edit(content: Any) -> None:
        blob = first_blob(content)
        set_dims(blob.type.tensorType, *sizes)

    return model(edit)


def patch_weights(position: int, content: bytes) -> Edit:
    def change(package: Path) -> None:
        data = bytearray((package / WEIGHTS).read_bytes())
        data[position : position + len(content)] = content
        (package / WEIGHTS).write_bytes(data)

    return change


def _literal(value: Any, kind: int, numbers: list[int]) -> None:
    tensor = value.value.type.tensorType
    tensor.dataType = kind
    set_dims(tensor, len(numbers))
    value.value.immediateValue.tensor.ints.values.extend(numbers)


def producing(kind: str, parameter: str, numbers: list[int], *sizes: int) -> Edit:
    """Returns an edit that adds an operation whose result has the sizes that a parameter gives."""

    def edit(content: Any) -> None:
        block = block_of(content)
        added = type(block.operations[0])(type=kind)
        _literal(added.inputs[parameter].arguments.add(), INT32, numbers)
        if kind == "tile":
            added.inputs["x"].arguments.add().name = operation(content, "conv").outputs[0].name
        output = added.outputs.add()
        output.name = "planted"
        output.type.tensorType.dataType = FLOAT32
        set_dims(output.type.tensorType, *sizes)
        block.operations.append(added)
        block.outputs.append("planted")

    return model(edit)


def state_of_terabytes(content: Any) -> None:
    (function,) = content.mlProgram.functions.values()
    added = function.inputs.add()
    added.name = "planted"
    tensor = added.type.stateType.wrappedType.tensorType
    tensor.dataType = FLOAT16
    set_dims(tensor, HUGE)


def pipeline_of_itself(content: Any) -> None:
    inner = type(content)()
    inner.CopyFrom(content)
    content.pipeline.models.extend([inner, inner])


def set_operation(name: str, value: str) -> Edit:
    return model(lambda content: setattr(operation(content, "conv"), name, value))


def metadata(**entries: str) -> Edit:
    def edit(content: Any) -> None:
        for key, value in entries.items():
            content.description.metadata.userDefined[f"mvd.{key}"] = value

    return model(edit)


def field(name: str, value: object) -> Edit:
    return model(lambda content: setattr(content, name, value))


CASES: dict[str, Edit] = {
    "no manifest": replaced(MANIFEST, lambda path: None),
    "a manifest of nothing": write(MANIFEST, ""),
    "a manifest that is no JSON": write(MANIFEST, "{"),
    "a manifest of brackets": write(MANIFEST, "[" * 10**6),
    "a manifest that is a list": write(MANIFEST, "[]"),
    "a manifest without entries": write(MANIFEST, "{}"),
    "a manifest of a million digits": write(MANIFEST, '{"rootModelIdentifier": ' + "1" * 10**6 + "}"),
    "a manifest of no UTF-8": write(MANIFEST, b"\xff\xfe{}"),
    "a manifest that names another": manifest(lambda content: content.update(rootModelIdentifier="planted")),
    "a manifest that is a folder": replaced(MANIFEST, lambda path: path.mkdir()),
    "a manifest that is a pipe": replaced(MANIFEST, os.mkfifo),
    "a manifest that is a link": replaced(MANIFEST, lambda path: path.symlink_to("/etc/passwd")),
    "a model above the package": points_to("../../../secret"),
    "a model by an absolute path": points_to("/etc/passwd"),
    "a model that is a device": points_to("/dev/zero"),
    "a model that is a folder": points_to("com.apple.CoreML"),
    "a model with a null byte": points_to("a\0b"),
    "a model with a long name": points_to("a" * 10_000),
    "a model that is a number": points_to(3),
    "a model that is a list": points_to(["com.apple.CoreML", "model.mlmodel"]),
    "no model": replaced(MODEL, lambda path: None),
    "a model that is a link out": replaced(MODEL, lambda path: path.symlink_to("../../../../secret")),
    "a model that is a link to zeros": replaced(MODEL, lambda path: path.symlink_to("/dev/zero")),
    "a model that is a link to itself": replaced(MODEL, lambda path: path.symlink_to(path)),
    "a model that is a pipe": replaced(MODEL, os.mkfifo),
    "weights that are a link out": replaced(WEIGHTS, lambda path: path.symlink_to("../../../../../secret")),
    "weights that are a link to zeros": replaced(WEIGHTS, lambda path: path.symlink_to("/dev/zero")),
    "weights that are a pipe": replaced(WEIGHTS, os.mkfifo),
    "weights that are a folder": replaced(WEIGHTS, lambda path: path.mkdir()),
    "no weights": replaced(WEIGHTS, lambda path: None),
    "empty weights": write(WEIGHTS, b""),
    "weights without their mark": patch_weights(64, bytes(4)),
    "weights of another type": patch_weights(68, b"\x09"),
    "weights of another size": patch_weights(72, struct.pack("<Q", 3)),
    "weights of terabytes": patch_weights(72, struct.pack("<Q", HUGE)),
    "weights beyond the file": patch_weights(80, struct.pack("<Q", HUGE)),
    "weights whose place wraps around": patch_weights(80, struct.pack("<Q", 2**64 - 1)),
    "a blob beyond the file": set_blob(offset=HUGE),
    "a blob in the middle": set_blob(offset=65),
    "a blob at the largest place": set_blob(offset=2**64 - 1),
    "a blob of another file": set_blob(fileName="@model_path/../../../secret"),
    "a blob of a system file": set_blob(fileName="/etc/passwd"),
    "a blob of no file": set_blob(fileName=""),
    "a blob of terabytes": set_blob_shape(HUGE),
    "a blob whose size wraps around": set_blob_shape(2**62, 4),
    "a blob of the largest size": set_blob_shape(2**63, 2**63),
    "specification 99": field("specificationVersion", 99),
    "specification 0": field("specificationVersion", 0),
    "no kind of model": model(lambda content: content.ClearField("mlProgram")),
    "a neural network": model(lambda content: content.neuralNetwork.SetInParent()),
    "a custom model": model(lambda content: content.customModel.SetInParent()),
    "a pipeline of nothing": model(lambda content: content.pipeline.SetInParent()),
    "a pipeline of itself": model(pipeline_of_itself),
    "no functions": model(lambda content: content.mlProgram.functions.clear()),
    "no operations": model(lambda content: block_of(content).ClearField("operations")),
    "no outputs": model(lambda content: block_of(content).ClearField("outputs")),
    "outputs that nothing makes": model(lambda content: block_of(content).outputs.__setitem__(0, "planted")),
    "no description": model(lambda content: content.ClearField("description")),
    "a conv of another shape": declare(1, 8, 5, 5),
    "a conv of terabytes": declare(1, 8, 2**20, 2**20),
    "a conv of more dimensions": declare(1, 8, 4, 4, 1),
    "a conv without dimensions": declare(),
    "an image of a terapixel": declare_input(1, 3, 2**20, 2**20),
    "an image of 50 000 pixels a side": declare_input(1, 3, 50_000, 50_000),
    "an image of nothing": declare_input(1, 3, 0, 0),
    "an image of three dimensions": declare_input(3, 8, 8),
    "an unknown operation": set_operation("type", "planted"),
    "an operation with control characters": set_operation("type", "\x1b[2J\x1b]0;owned\x07"),
    "a custom layer": set_operation("type", "custom_layer"),
    "a cycle": model(
        lambda content: setattr(
            operation(content, "conv").inputs["x"].arguments[0], "name", operation(content, "conv").outputs[0].name
        )
    ),
    "a conv without weights": model(lambda content: operation(content, "conv").inputs.pop("weight")),
    "a fill of terabytes": producing("fill", "shape", [2**20, 2**20], 2**20, 2**20),
    "a fill of 16 GB": producing("fill", "shape", [2**16, 2**16], 2**16, 2**16),
    "a fill that lies": producing("fill", "shape", [2**16, 2**16], 1),
    "a negative fill": producing("fill", "shape", [-1, -1], 1),
    "a tile of terabytes": producing("tile", "reps", [1, 1, 2**20, 2**20], 1, 8, 2**22, 2**22),
    "a tile of 16 GB": producing("tile", "reps", [1, 1, 2**12, 2**13], 1, 8, 2**14, 2**15),
    "a tile that lies": producing("tile", "reps", [1, 1, 2**12, 2**13], 1),
    "a state of terabytes": model(state_of_terabytes),
    "own code": metadata(own_code="true", model="planted.py:build"),
    "a recipe of its own": metadata(own_code="false", model="cas_vit_xs", recipe="loose.toml"),
    "malformed claims": metadata(keep_fp32="[" * 10**5),
}
