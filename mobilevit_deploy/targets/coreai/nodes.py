"""Names of the program's nodes, from the export to the asset.

The converter takes the graph apart first (``linear`` to ``permute`` and ``addmm``) and notes on each operation which of
those smaller nodes it came from. What the export and ``mvd verify --locate`` know are the nodes before that, so the
asset's metadata holds which of them a smaller node is a part of.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch.fx import Node

KEY = "mvd.nodes"
MARK = "mvd"  # in ``node.meta["custom"]``, which decompositions pass on
SOURCE = re.compile(r'"sources": \[\{id = (\d+) : ui64, identifiers = \["([^"]+)"\], name = "torch"\}\]')


def mark(nodes: Iterable[Node]) -> None:
    """Writes every call's name onto it, for what it is taken apart to."""
    for node in nodes:
        if node.op == "call_function":
            node.meta["custom"] = {**node.meta.get("custom", {}), MARK: node.name}


def write_nodes(nodes: Iterable[Node]) -> str:
    """Returns the metadata's text for a program that was taken apart."""
    calls = (node for node in nodes if node.op == "call_function")
    names = {node.name: node.meta.get("custom", {}).get(MARK) for node in calls}
    return json.dumps({part: name for part, name in names.items() if name}, separators=(",", ":"))


def read_nodes(metadata: Mapping[str, str]) -> dict[str, str]:
    """Returns the node's name by that of each of its parts; nothing where the text is damaged."""
    try:
        names = json.loads(metadata.get(KEY, "{}"))
    except (ValueError, RecursionError):
        return {}
    return {str(part): str(name) for part, name in names.items()} if isinstance(names, dict) else {}


def source_of(operation: Any) -> str:
    """Returns the smaller node that an operation of an asset came from; of several that were fused, the last."""
    sources = [(int(number), name) for number, name in SOURCE.findall(str(operation.location))]
    return max(sources, default=(0, ""))[1]
