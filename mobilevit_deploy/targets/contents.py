"""What a file holds, by digests: noted in its own metadata at the export, and compared ever after.

A changed weight is named from the file itself: the notes have a short digest of each tensor, in the file's order, and
the file has its name and its readers. This finds damage, not malice: who changes a weight on purpose can change the
notes with it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mobilevit_deploy.errors import printable

GRAPH, TENSORS, EACH = "mvd.graph_sha256", "mvd.tensors_sha256", "mvd.tensors"
LONGEST_NAME = 200  # characters of what is shown
SHORT = 8  # hexadecimal digits for each tensor: they only name it, and a thousand tensors take 8 kB

Status = Literal["intact", "changed", "not noted"]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file.

    Attributes:
        name: by which the file knows it.
        module: path of the module that reads it; None where the file does not tell.
        sha256: of its type, its shape and its bytes.
    """

    name: str
    module: str | None
    sha256: str

    def __str__(self) -> str:
        """Returns name and module for a message: both are the file's own words."""
        name = printable(self.name[:LONGEST_NAME])
        if self.module is None:
            return name
        return f"{name} of module {printable(self.module[:LONGEST_NAME]) or '(the model itself)'}"


@dataclass(frozen=True)
class Contents:
    """All that decides what a file computes, and what it says of itself.

    Attributes:
        metadata: texts by key, which the digests do not cover.
        tensors: weights and other constants, in the file's order.
        graph_sha256: of everything else: operations, attributes, wiring, names and shapes.
    """

    metadata: Mapping[str, str]
    tensors: tuple[StoredTensor, ...]
    graph_sha256: str


@dataclass(frozen=True)
class Integrity:
    """Whether a file is what its export wrote.

    Attributes:
        status: "not noted" for files of others, and of earlier versions.
        tensors: how many there are.
        changed: those that are others.
        graph_changed: whether anything else is.
        graph_sha256: as it is now; None for a target that has no digests.
        tensors_sha256: of all tensors, likewise.
    """

    status: Status = "not noted"
    tensors: int = 0
    changed: tuple[StoredTensor, ...] = ()
    graph_changed: bool = False
    graph_sha256: str | None = None
    tensors_sha256: str | None = None

    @property
    def reason(self) -> str | None:
        """Returns what changed, as a message has it; None where nothing did, or nobody knows."""
        if self.status != "changed":
            return None
        count = f"{len(self.changed)} of {self.tensors} tensors"
        if len(self.changed) == 1:
            return f"tensor {self.changed[0]} differs from what was exported: {count}"
        if self.changed:
            shown = ", ".join(map(str, self.changed[:MOST_NAMED]))
            more = ", ..." if len(self.changed) > MOST_NAMED else ""
            return f"tensors {shown}{more} differ from what was exported: {count}"
        return (
            "its graph differs from what was exported" if self.graph_changed else "its weights are not those exported"
        )


MOST_NAMED = 8  # tensors in a message; the document has all


def digest(kind: str, shape: Sequence[int], content: bytes | memoryview) -> str:
    """Returns the SHA-256 of a tensor, by its type's name, its shape and its bytes as they are stored."""
    found = hashlib.sha256(f"{kind} {'x'.join(map(str, shape))}\n".encode())
    found.update(content)
    return found.hexdigest()


def note(contents: Contents) -> dict[str, str]:
    """Returns the metadata that says what a file holds."""
    return {
        GRAPH: contents.graph_sha256,
        TENSORS: _all(contents.tensors),
        EACH: "".join(tensor.sha256[:SHORT] for tensor in contents.tensors),
    }


def compare(contents: Contents) -> Integrity:
    """Compares what a file holds with what it says that it held."""
    found, noted = contents.tensors, contents.metadata
    integrity = Integrity(tensors=len(found), graph_sha256=contents.graph_sha256, tensors_sha256=_all(found))
    if GRAPH not in noted or TENSORS not in noted:
        return integrity
    graph_changed = noted[GRAPH] != contents.graph_sha256
    if not graph_changed and noted[TENSORS] == integrity.tensors_sha256:
        return replace(integrity, status="intact")
    short = noted.get(EACH, "")
    before = [short[i : i + SHORT] for i in range(0, len(short), SHORT)]
    changed: tuple[StoredTensor, ...] = ()
    if len(before) == len(found):  # else tensors came or went, which the graph says
        pairs = zip(before, found, strict=True)
        changed = tuple(tensor for digits, tensor in pairs if digits != tensor.sha256[:SHORT])
    return replace(integrity, status="changed", changed=changed, graph_changed=graph_changed)


def integrity_document(integrity: Integrity) -> dict[str, Any]:
    """Returns what the digests say as JSON; the keys are a contract: add to them, do not change them."""
    return {
        **vars(integrity),
        "changed": [{"name": tensor.name, "module": tensor.module} for tensor in integrity.changed],
    }


def _all(tensors: Sequence[StoredTensor]) -> str:
    return hashlib.sha256("".join(tensor.sha256 for tensor in tensors).encode()).hexdigest()
