"""Which PyTorch module each operation of a package comes from, noted in the package's metadata at the export.

An ML Program has no place for it beside an operation. coremltools names what an operation computes after the node of
the exported program, so the metadata holds the nodes' names by module path.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

KEY = "mvd.modules"
HALF = "_cast_fp16"  # what coremltools adds to the name of a half-precision result


def write_notes(paths: Iterable[tuple[str, str]]) -> str:
    """Returns the metadata's text for pairs of a node's name and its module path."""
    names: dict[str, list[str]] = {}
    for name, path in paths:
        names.setdefault(path, []).append(name)
    return json.dumps(names, separators=(",", ":"))


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
