"""What a ``.tflite`` file holds, by digests: each weight with the module that reads it, and all the rest of the file.

What the export notes stands in one entry of the file's metadata, as JSON: texts by key. Which module an operator comes
from is noted by the name of its first output.
"""

import hashlib
import json
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mobilevit_deploy.errors import ArtifactError, ConversionError
from mobilevit_deploy.graph.module_notes import common_path, read_notes
from mobilevit_deploy.targets.contents import Contents, StoredTensor, digest, note
from mobilevit_deploy.targets.flatbuffer import COPY_AGAIN, DamagedError
from mobilevit_deploy.targets.litert.tflite.app_metadata import ENTRY, AppNote, pack, with_labels
from mobilevit_deploy.targets.litert.tflite.metadata import metadata_ranges, write_metadata
from mobilevit_deploy.targets.litert.tflite.program import Program, parse_program, read_program

METADATA = "mvd_metadata"  # the entry with what the export noted
LONGEST_NOTE = 2**22  # bytes; names of 20,000 classes have less than one megabyte


def read_contents(path: Path) -> Contents:
    """Reads a file; raises ArtifactError when it is damaged."""
    return contents_of(read_program(path), path.name)


def note_contents(content: bytes, metadata: Mapping[str, str], name: str, app: AppNote | None = None) -> bytes:
    """Returns a file that says what it is and what it holds.

    Args:
        content: of a ``.tflite`` file.
        metadata: texts by key; the digests of what the file holds are added.
        name: of the file, for messages.
        app: what Android's own tools read.

    Raises:
        ArtifactError: the file is damaged.
        ConversionError: it has no place for metadata, for it is larger than 2 GB.
    """
    parse_program(content, name)
    labels = app.labels if app else ()
    try:
        if app:
            content = write_metadata(content, ENTRY, pack(app))
        written = _with_notes(content, metadata, labels)
        for _ in range(2 if labels else 1):  # an archive's places change with the length of the notes in front of it
            held = contents_of(parse_program(written, name), name)
            written = _with_notes(content, {**metadata, **note(held)}, labels)
        return written
    except DamagedError as error:
        raise ConversionError(f"nothing can be noted in {name}: {error}", "export a smaller model") from error


def _with_notes(content: bytes, metadata: Mapping[str, str], labels: Sequence[str]) -> bytes:
    written = write_metadata(content, METADATA, _text(metadata))
    return with_labels(written, labels) if labels else written


def metadata_of(program: Program, name: str) -> dict[str, str]:
    """Returns what the export noted, nothing for a file from elsewhere; raises ArtifactError, with the file's name."""
    text = program.metadata_text(METADATA, LONGEST_NOTE)
    if text is None:
        return {}
    try:
        notes = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"what {name} says of its own export is malformed", "export it again") from error
    return {str(key): str(entry) for key, entry in notes.items()} if isinstance(notes, dict) else {}


def contents_of(program: Program, name: str) -> Contents:
    """Returns what a program holds; raises ArtifactError, with the file's name."""
    metadata = metadata_of(program, name)
    try:
        noted = metadata_ranges(program.content, METADATA)
    except (DamagedError, struct.error) as error:
        raise ArtifactError(f"{name} is damaged: {error}", COPY_AGAIN) from error
    weights = {value.buffer: value for graph in program.subgraphs for value in graph.values}
    weights = {buffer: weights[buffer] for buffer in sorted(weights) if len(program.data(buffer))}
    modules = _modules(program, read_notes(metadata))
    tensors = tuple(
        StoredTensor(value.name, modules.get(buffer), digest(value.dtype, value.shape, program.data(buffer)))
        for buffer, value in weights.items()
    )
    rest = hashlib.sha256()
    for part in _between(program.content, [*noted, *(program.buffers[buffer] for buffer in weights)]):
        rest.update(part)
    return Contents(metadata, tensors, rest.hexdigest())


def _text(metadata: Mapping[str, str]) -> bytes:
    return json.dumps(metadata, sort_keys=True, ensure_ascii=False).encode()


def _modules(program: Program, noted: Mapping[str, str]) -> dict[int, str]:
    """Returns the innermost module of all that read a buffer, by its number."""
    readers: dict[int, list[str]] = defaultdict(list)
    for graph in program.subgraphs:
        for item in graph.operators:
            path = noted.get(graph.values[item.outputs[0]].name) if item.outputs else None
            if path is not None:
                for number in item.inputs:
                    if number >= 0:
                        readers[graph.values[number].buffer].append(path)
    return {buffer: common_path(paths) for buffer, paths in readers.items()}


def _between(content: bytes, ranges: list[tuple[int, int]]) -> Iterator[memoryview]:
    """Yields what lies between ranges of a file, which may overlap."""
    view, place = memoryview(content), 0
    for start, end in sorted(ranges):
        if start > place:
            yield view[place:start]
        place = max(place, end)
    yield view[place:]
