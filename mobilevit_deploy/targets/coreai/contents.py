"""What an asset holds, by digests: each weight with the module that reads it, and the rest of the program.

Small weights stand in the program among its other bytes, so where one of them is changed the graph is, too.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.module_notes import read_notes
from mobilevit_deploy.targets.contents import Contents, StoredTensor, digest, note
from mobilevit_deploy.targets.coreai.bytecode import Blob, find_blobs
from mobilevit_deploy.targets.coreai.child import Child, ChildError
from mobilevit_deploy.targets.coreai.nodes import read_nodes

PROGRAM, METADATA, ENTRIES = "main.mlirb", "metadata.json", "creatorDefinedMetadata"
LARGEST_METADATA = 16 * 2**20  # bytes
COPY_AGAIN = "export or copy the asset again"


def read_contents(path: Path) -> Contents:
    """Reads an asset; raises ArtifactError when it is damaged."""
    return contents_of(path, ask(path, "constants")["constants"])


def note_contents(path: Path, constants: Sequence[Mapping[str, Any]]) -> None:
    """Notes in an asset's metadata what it holds; arguments as in ``contents_of``."""
    file = path / METADATA
    content = json.loads(file.read_text(encoding="utf-8"))
    content.setdefault(ENTRIES, {}).update(note(contents_of(path, constants)))
    file.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")


def contents_of(path: Path, constants: Sequence[Mapping[str, Any]]) -> Contents:
    """Returns what an asset holds.

    Args:
        path: the folder.
        constants: of its program, as ``coreai.program`` lists them.
    """
    metadata = read_metadata(path)
    parts, modules = read_nodes(metadata), read_notes(metadata)
    try:
        content = (path / PROGRAM).read_bytes()
        blobs = {blob.key: blob for blob in find_blobs(content)}
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path.name} is damaged: {error}", COPY_AGAIN) from error
    found = []
    for i, item in enumerate(constants):
        node, kind, shape, key = item["node"], item["type"], item["shape"], item["key"]
        origin = parts.get(node, node)
        name = f"constant {i}, {kind} {'x'.join(map(str, shape)) or 'number'}" + (f" of {origin}" if origin else "")
        numbers = _numbers(content, blobs[key]) if key in blobs else bytes.fromhex(item["content"])
        found.append(StoredTensor(name, modules.get(origin), digest(kind, shape, numbers)))
    return Contents(metadata, tuple(found), _hash_rest(content, list(blobs.values())))


def _numbers(content: bytes, blob: Blob) -> bytes:
    return content[blob.start : blob.start + blob.size]


def _hash_rest(content: bytes, blobs: Sequence[Blob]) -> str:
    """Returns the SHA-256 of a program without its large weights."""
    rest, place = hashlib.sha256(), 0
    for blob in sorted(blobs, key=lambda item: item.start):
        rest.update(content[place : blob.start])
        place = blob.start + blob.size
    rest.update(content[place:])
    return rest.hexdigest()


def read_metadata(path: Path) -> dict[str, str]:
    """Returns the texts that an asset holds beside its program; raises ArtifactError for a damaged file."""
    file = path / METADATA
    try:
        if file.stat().st_size > LARGEST_METADATA:
            raise ValueError("too large")
        entries = json.loads(file.read_text(encoding="utf-8")).get(ENTRIES, {})
        return {str(key): value for key, value in entries.items() if isinstance(value, str)}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{path.name} has no readable metadata.json", COPY_AGAIN) from error


def ask(path: Path, command: str) -> dict[str, Any]:
    """Asks a process of its own about an asset; raises ArtifactError."""
    child = Child()
    try:
        return child.ask(command, path=str(path.resolve()))
    except ChildError as error:
        raise ArtifactError(f"Core AI does not read {path.name}: {error}", COPY_AGAIN) from error
    finally:
        child.close()
