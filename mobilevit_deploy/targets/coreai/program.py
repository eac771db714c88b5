"""Reads the program of an asset, in the child: what goes in and out, its operations, and changed copies of it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from coreai._compiler.ir import ArrayAttr, Attribute, RankedTensorType
from coreai.authoring import AIModelAsset

from mobilevit_deploy.targets.coreai.nodes import source_of
from mobilevit_deploy.targets.coreai.readings import read_unrounded, round_constants

ENTRY = "main"
CONSTANT = "coreai.constant"
OUTPUT = "coreai.output"
INVOKE = "coreai.invoke"
RESOURCE = re.compile(r"dense_resource<([^>]+)>")
CALLED = re.compile(r"@\"?([^\"> ]+)")
TYPES = {"f16": "float16", "f32": "float32", "f64": "float64", "bf16": "bfloat16", "i1": "bool"}

FLOATS = ("float16", "float32", "float64")


def load(path: str) -> AIModelAsset:
    """Opens an asset on disk; raises RuntimeError for what is none."""
    return AIModelAsset.load(Path(path))


def describe(path: str) -> dict[str, Any]:
    """Returns ``inputs`` and ``outputs`` as (name, shape, type), and whether half precision is computed with."""
    program = load(path).program  # the graph lives as long as this
    graph = _main(program)
    types = graph.function_type.value
    return {
        "inputs": [(_name(item), *_tensor(kind)) for item, kind in zip(graph.arg_attrs, types.inputs, strict=True)],
        "outputs": [(_name(item), *_tensor(kind)) for item, kind in zip(graph.res_attrs, types.results, strict=True)],
        "half": any(_tensor(result.type)[1] == "float16" for item in _calls(graph) for result in item.results),
    }


def operations(path: str) -> list[dict[str, Any]]:
    """Returns the operations in order, constants and what computes them left out.

    Each has its ``kind``, the ``node`` of the program it came from, whether it is the ``last`` of that node, the
    ``inputs`` and ``outputs`` as (shape, type), and whether one of these is a ``result`` of the model.
    """
    program = load(path).program
    graph = _main(program)
    composites = {item.sym_name.value: item for item in program._module._body.operations if item is not graph}
    ends = {value.owner for value in _end(graph).operands}
    found = []
    for item in _calls(graph):
        found.append(
            {
                "kind": _kind(item, composites),
                "node": source_of(item),
                "inputs": [_tensor(value.type) for value in item.operands if _computed(value)],
                "outputs": [_tensor(value.type) for value in item.results],
                "result": item.operation in ends,
            }
        )
    return found


def constants(path: str) -> list[dict[str, Any]]:
    """Returns the constants of all functions in order, but for whole numbers, which are sizes and axes.

    Each has the ``node`` of the program it came from, its ``type`` and ``shape``, and either the ``key`` of what lies
    beside the program or its ``content``, in hexadecimal digits.
    """
    program = load(path).program
    found = []
    for graph in program._module._body.operations:
        for item in graph.bodyRegion.blocks[0].operations:
            if item.name != CONSTANT:
                continue
            shape, kind = _tensor(item.results[0].type)
            value = item.attributes["value"]
            key = RESOURCE.match(str(value)) if type(value) is Attribute else None
            if key is None and kind not in FLOATS:
                continue
            content = "" if key else np.array(value).tobytes().hex()
            found.append(
                {"node": source_of(item), "type": kind, "shape": shape, "key": key and key[1], "content": content}
            )
    return found


def change(asset: AIModelAsset, path: Path, reading: str, values: list[int], like: str | None) -> AIModelAsset:
    """Writes a changed copy of an asset, and opens it.

    Args:
        asset: to change.
        path: of the copy.
        reading: how half precision is read; see ``runners.Reading``.
        values: places in ``operations`` of what the copy returns behind the outputs.
        like: the half-precision asset whose weights a float32 one is to have.
    """
    program = asset.program
    graph = _main(program)
    calls = list(_calls(graph))  # before a reading adds some
    if reading in ("unrounded", "rounded once"):
        read_unrounded(program, rounds=reading == "rounded once")
    elif reading == "rounded constants" and like is not None:
        model = load(like).program
        round_constants(program, model)
    if values:
        outputs = zip(map(_name, graph.res_attrs), _end(graph).operands, strict=True)
        with graph.location:
            graph.outputs_spec = [*outputs, *((f"value{i}", calls[i].results[0]) for i in values)]
    return program.save_asset(path)


def cut(asset: AIModelAsset, path: Path, last: int) -> AIModelAsset:
    """Writes a copy of an asset that ends with one of its operations, and opens it."""
    program = asset.program
    graph = _main(program)
    calls = list(_calls(graph))
    with graph.location:
        graph.res_attrs = ArrayAttr.get([])  # the names of the outputs that there were
        graph.outputs_spec = [("last", calls[last].results[0])]
    for unread in reversed(calls[last + 1 :]):
        unread.operation.erase()
    return program.save_asset(path)


def _main(program: Any) -> Any:
    graph = program._get_graph(ENTRY)
    if graph is None:
        raise ValueError(f"there is no function {ENTRY}")
    return graph


def _calls(graph: Any) -> Iterator[Any]:
    for item in graph.bodyRegion.blocks[0].operations:
        if item.name not in (CONSTANT, OUTPUT):
            yield item


def _end(graph: Any) -> Any:
    return next(item for item in graph.bodyRegion.blocks[0].operations if item.name == OUTPUT)


def _computed(value: Any) -> bool:
    """Tells whether a value depends on the image: neither a constant nor an argument of an operation's own."""
    return not (hasattr(value.owner, "name") and value.owner.name == CONSTANT)


def _kind(item: Any, composites: dict[str, Any]) -> str:
    """Returns the operation's name; of a call, that of the composite operation which is called."""
    if item.name == INVOKE:
        match = CALLED.search(str(item.attributes["callee"]))
        called = composites.get(match[1]) if match else None
        text = str(called.attributes["composite_decl"]) if called and "composite_decl" in called.attributes else ""
        return text.partition('<"')[2].partition('"')[0] or "invoke"
    return str(item.name).rpartition(".")[2]


def _name(attributes: Any) -> str:
    return str(attributes["coreai.name"]).strip('"') if "coreai.name" in attributes else ""


def _tensor(kind: Any) -> tuple[list[int], str]:
    if not isinstance(kind, RankedTensorType):
        return [], str(kind)
    element = str(kind.element_type)
    return [max(size, 0) for size in kind.shape], TYPES.get(element, element)
