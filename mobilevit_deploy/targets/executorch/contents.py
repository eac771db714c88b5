"""What a ``.pte`` file holds, by digests: each weight with the module whose node reads it, and the rest of the program.

A file knows no names. XNNPACK's nodes have a number that leads back to the node of the exported program, and the
metadata has the module of each; kernels' constants have a number of their own.
"""

import hashlib
import json
import math
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.module_notes import common_path, read_notes
from mobilevit_deploy.targets.contents import Contents, StoredTensor, digest
from mobilevit_deploy.targets.executorch.pte.constant_text import without_text
from mobilevit_deploy.targets.executorch.pte.program import WIDTHS, Program, Value, parse_program, read_file
from mobilevit_deploy.targets.executorch.pte.xnnpack import BACKEND, Reader, read_readers
from mobilevit_deploy.targets.flatbuffer import COPY_AGAIN, DamagedError

METADATA = "mvd_metadata"  # the constant method that returns what the export noted
LONGEST_NOTE = 2**20  # characters
CONSTANT = "constant {}"  # what a kernel reads, by its number


def read_contents(path: Path) -> Contents:
    """Reads a file; raises ArtifactError when it is damaged."""
    content = read_file(path)
    program = parse_program(content, path.name)
    notes = notes_of(program, path.name)
    metadata = notes.get("metadata")
    texts = {str(key): str(text) for key, text in metadata.items()} if isinstance(metadata, dict) else {}
    modules = read_notes(texts)
    try:
        rest = hashlib.sha256(without_text(content, METADATA))
        found = (*_of_kernels(program, modules), *_of_delegates(program, modules))
    except (DamagedError, struct.error) as error:
        raise ArtifactError(f"{path.name} is damaged: {error}", COPY_AGAIN) from error
    used = {program.constants_segment, *program.named.values()}
    for number, segment in enumerate(program.segments):
        if number not in used:
            rest.update(segment)
    return Contents(texts, found, rest.hexdigest())


def notes_of(program: Program, name: str) -> Mapping[str, Any]:
    """Returns what the export noted; nothing for a file from elsewhere. Raises ArtifactError, with the file's name."""
    plan = program.plan(METADATA)
    text = plan.outputs[0].text if plan and len(plan.outputs) == 1 else None
    if text is None or len(text) > LONGEST_NOTE:
        return {}
    try:
        notes = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"what {name} says of its own export is malformed", "export it again") from error
    return notes if isinstance(notes, dict) else {}


def _of_kernels(program: Program, modules: Mapping[str, str]) -> Iterator[StoredTensor]:
    kinds = {value.constant: value for plan in program.plans for value in plan.values if value.constant}
    for i, content in enumerate(program.constants[1:], start=1):
        name, value = CONSTANT.format(i), kinds.get(i, Value())
        shape, width = value.shape or (), WIDTHS.get(value.dtype)
        size = len(content) if width is None else width * math.prod(shape)  # what lies behind it is padding
        yield StoredTensor(name, modules.get(name), digest(value.dtype, shape, content[:size]))


def _of_delegates(program: Program, modules: Mapping[str, str]) -> Iterator[StoredTensor]:
    readers: dict[str, list[Reader]] = defaultdict(list)
    contents = [call.delegate for plan in program.plans for call in plan.calls if call.delegate]
    for i, delegate in enumerate(contents):
        if delegate.backend == BACKEND:
            for reader in read_readers(delegate.content, f"delegate {i}"):
                readers[reader.key].append(reader)
    for key, number in program.named.items():
        found = readers[key]
        paths = [path for reader in found if (path := modules.get(str(reader.handle))) is not None]
        name = found[0].name if found else f"data {key[:12]}"
        content = program.segments[number]  # its type and shape stand with its readers, in the graph
        yield StoredTensor(name, common_path(paths) if paths else None, digest("bytes", (len(content),), content))
