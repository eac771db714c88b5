"""Which PyTorch module each operation of a package comes from, noted in the package's metadata at the export.

An ML Program has no place for it beside an operation. coremltools names what an operation computes after the node of
the exported program, so the metadata holds the nodes' names by module path.
"""

import json
import re
from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

from torch.export import ExportedProgram

KEY = "mvd.modules"
ADDED = re.compile("(_promoted)?(_to_fp16)?(_quantized|_palettized|_sparsified)*$")  # to the name of a weight
HALF = "_cast_fp16"  # what coremltools adds to the name of a half-precision result


def write_notes(paths: Iterable[tuple[str, str]]) -> str:
    """Returns the metadata's text for pairs of a node's name and its module path."""
    names: dict[str, list[str]] = {}
    for name, path in paths:
        names.setdefault(path, []).append(name)
    return json.dumps(names, separators=(",", ":"))


def owners(program: ExportedProgram) -> list[tuple[str, str]]:
    """Returns pairs of a weight's name in the graph and the path of the module that has it."""
    inputs = program.graph_signature.input_specs
    return [(item.arg.name, item.target.rpartition(".")[0]) for item in inputs if item.target]


def owner(name: str, noted: Mapping[str, str]) -> str | None:
    """Returns the module of a weight by its name in a package, where it was noted.

    Args:
        name: with what coremltools adds for half precision and for compressed weights.
        noted: from ``read_notes``.
    """
    return noted.get(ADDED.sub("", name))


def read_notes(metadata: Mapping[str, str]) -> dict[str, str]:
    """Returns module paths by node name; nothing where none were noted, or the text is damaged."""
    try:
        names = json.loads(metadata.get(KEY, "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(names, dict):
        return {}
    return {str(name): path for path, items in names.items() if isinstance(items, list) for name in items}


def module_paths(operations: Iterable[Any], metadata: Mapping[str, str]) -> dict[str, str | None]:
    """Returns the path of every operation by the name of its first result; None where it is not known.

    What a converter has put in between, such as a cast, belongs to the module of what it reads.

    Args:
        operations: messages of the program, in order.
        metadata: of the package.
    """
    noted = read_notes(metadata)
    found: dict[str, str | None] = {}
    for operation in operations:
        if not operation.outputs:
            continue
        read = (binding.name for argument in operation.inputs.values() for binding in argument.arguments)
        before = [path for name in read if (path := found.get(name)) is not None]
        for item in operation.outputs:
            own = noted.get(item.name.replace(HALF, ""))
            found[item.name] = own if own is not None else (before[-1] if before else None)
    return found


def common_path(paths: Iterable[str]) -> str:
    """Returns the innermost module that holds all the given ones."""
    parts = [path.split(".") if path else [] for path in paths]
    levels = zip(*parts, strict=False)  # as deep as the shortest
    return ".".join(level[0] for level in takewhile(lambda names: len(set(names)) == 1, levels))
