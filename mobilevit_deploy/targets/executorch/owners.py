"""Which module each weight of a ``.pte`` file belongs to: known while it is written, and noted in its metadata."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.export import ExportedProgram
from torch.fx import Graph

from mobilevit_deploy.graph.graph import module_path
from mobilevit_deploy.graph.module_notes import common_path
from mobilevit_deploy.targets.executorch.contents import CONSTANT
from mobilevit_deploy.targets.executorch.pte.program import read_program

HANDLE = "debug_handle"  # ExecuTorch's link from a node of a delegate to that of the program


def node_owners(program: ExportedProgram) -> list[tuple[str, str]]:
    """Returns pairs of the number that a delegate's node has for the program's, and its module's path.

    Args:
        program: lowered, before it is emitted, which numbers the calls of its delegates anew.
    """
    graphs: list[Graph] = []
    for module in program.graph_module.children():
        part = getattr(module, "original_module", None)
        graphs += [part.graph] if part is not None else []
    found = {
        str(node.meta[HANDLE]): module_path(node)
        for graph in graphs
        for node in graph.nodes
        if node.op == "call_function" and node.meta.get(HANDLE) and node.meta.get("nn_module_stack")
    }
    return list(found.items())


def constant_owners(path: Path, program: ExportedProgram) -> list[tuple[str, str]]:
    """Returns pairs of the name of what a kernel reads and the path of the module that has it.

    The file has these weights as they are, so their bytes tell which each is.

    Args:
        path: of the file.
        program: that was written.
    """
    modules: dict[bytes, list[str]] = defaultdict(list)
    for name, value in _weights(program):
        modules[bytes_of(value)].append(name.rpartition(".")[0])
    found = []
    for i, content in enumerate(read_program(path).constants[1:], start=1):
        whole = max(filter(content.startswith, modules), key=len, default=b"")  # behind it lies padding
        if whole:
            found.append((CONSTANT.format(i), common_path(modules[whole])))
    return found


def _weights(program: ExportedProgram) -> Iterator[tuple[str, torch.Tensor]]:
    for item in program.graph_signature.input_specs:
        value = program.state_dict.get(item.target or "", program.constants.get(item.target or ""))
        if isinstance(value, torch.Tensor):
            yield str(item.target), value


def bytes_of(value: torch.Tensor) -> bytes:
    """Returns a tensor's numbers as a file has them."""
    flat = value.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
