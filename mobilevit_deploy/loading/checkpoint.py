"""Reading a checkpoint as untrusted input: which tensors it holds, and where they came from.

Nothing in the file is executed, see ``inert``; what is no plain value is named and left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from mobilevit_deploy.catalog.model_card import WeightsChoice
from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.checkpoint_files import JOIN_SHARDS, RESAVE, find_files
from mobilevit_deploy.loading.file_content import Content, read_files
from mobilevit_deploy.loading.inert.values import Placeholder
from mobilevit_deploy.loading.names import name_forms
from mobilevit_deploy.loading.records import Record
from mobilevit_deploy.loading.special_tensors import special_tensor
from mobilevit_deploy.loading.training_arguments import trained_size
from mobilevit_deploy.loading.weights_inside import StateDict, find_state_dicts, names_beside
from mobilevit_deploy.system.hashing import sha256_of
from mobilevit_deploy.system.vanishing import still_there

SHOWN = 12  # names in a message
MOST_UNREAD = 100  # classes of objects that are named one by one


@dataclass(frozen=True)
class Selection:
    """What of a checkpoint is asked for.

    Attributes:
        weights: ``ema`` or ``raw`` insist; ``auto`` takes the average of the weights where there is one that fits.
        key: the dotted path of the state dict; empty for the one that fits.
        prefix: of the names that are taken, without it; the others are left.
        ignore: patterns of names that are left aside, such as ``head.aux*``.
    """

    weights: WeightsChoice = "auto"
    key: str = ""
    prefix: str = ""
    ignore: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """Returns the first option that asks for something, as it is typed."""
        if self.weights != "auto":
            return f"--weights {self.weights}"
        if self.key or self.prefix:
            return f"--key {self.key}" if self.key else f"--prefix {self.prefix}"
        return " ".join(f"--ignore {pattern}" for pattern in self.ignore)


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one checkpoint.

    Attributes:
        path: the file, or the folder.
        sha256: of the whole file; of several, of their own digests.
        key: the entry that the weights were found under; empty when they lie at the top.
        tensors: the weights under their names in the file.
        not_loaded: the other entries (optimizer, epoch, the weights that were not chosen, ...).
        not_read: the objects that were not built, such as ``3 objects of mmengine.logging.HistoryBuffer``.
        objects: what stands under a weight's name and is no tensor, by name.
        others: the other state dicts of the file, the likeliest first.
        records: what its storages were made of, see ``check_records``.
        meta: the entry in which OpenMMLab's frameworks say what was trained; not to be trusted.
        image_size: (height, width) in pixels, that the model was trained for; None where the file does not say it.
    """

    path: Path
    sha256: str
    key: str
    tensors: Mapping[str, Tensor]
    not_loaded: tuple[str, ...]
    not_read: tuple[str, ...] = ()
    objects: Mapping[str, str] = field(default_factory=dict)
    others: tuple["Checkpoint", ...] = ()
    records: Mapping[int, Record] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    image_size: tuple[int, int] | None = None

    @property
    def choices(self) -> tuple["Checkpoint", ...]:
        """Returns every state dict of the file, the likeliest first."""
        return (self, *self.others)

    def holds(self, name: str) -> bool:
        """Tells whether a tensor is there under the name or behind a known prefix."""
        return self.find(name) is not None

    def find(self, name: str) -> Tensor | None:
        """Returns the tensor of that name, with or without a known prefix."""
        return next((tensor for key, tensor in self.tensors.items() if name in name_forms(key)), None)


def read_checkpoint(path: Path, selection: Selection | None = None) -> Checkpoint:
    """Reads a checkpoint without running anything in it.

    Args:
        path: a file of PyTorch, of safetensors or numpy, an index of safetensors, or a folder of Hugging Face.
        selection: what of it is asked for.

    Raises:
        CheckpointError: the file is missing, damaged, of an unknown kind, or holds no weights of the kind asked for.
        MvdError: it goes away meanwhile.
    """
    selection = selection or Selection()
    files = find_files(path)
    with still_there():
        content = read_files(files)
    found = find_state_dicts(content.value, selection.weights)
    if selection.key:
        found = [item for item in found if item.key == selection.key] or _refuse_key(path, content.value, selection)
    if not found:
        raise _no_weights(path, content, selection)
    unread = _unread(content)
    with still_there():
        digest = _digest(path, files)
    entries = content.value if isinstance(content.value, Mapping) else {}
    meta = entries.get("meta")
    known, size = meta if isinstance(meta, Mapping) else {}, trained_size(entries)
    checkpoints = []
    for item in found:
        tensors, left = _select(path, item, selection)
        not_loaded = (*names_beside(content.value, item), *left)
        checkpoint = Checkpoint(path, digest, item.key, tensors, not_loaded, unread, item.others)
        checkpoints.append(replace(checkpoint, meta=known, records=content.records, image_size=size))
    return replace(checkpoints[0], others=tuple(checkpoints[1:]))


def checkpoint_digest(path: Path) -> str:
    """Returns the SHA-256 of a checkpoint's file; of one in several files, of their digests. Raises CheckpointError."""
    return _digest(path, find_files(path))


def _digest(path: Path, files: Sequence[Path]) -> str:
    return sha256_of(path) if files == [path] else sha256("".join(map(sha256_of, files)).encode()).hexdigest()


def _select(path: Path, item: StateDict, selection: Selection) -> tuple[dict[str, Tensor], list[str]]:
    """Returns the tensors that are asked for, and a line for each that was left aside."""
    left = []
    tensors = {}
    for name, tensor in item.tensors.items():
        if not name.startswith(selection.prefix):
            left.append(name)
        elif any(fnmatchcase(name, pattern) for pattern in selection.ignore):
            left.append(f"{name} (ignored)")
        else:
            tensors[name.removeprefix(selection.prefix)] = tensor
    if not tensors:
        begin = ", ".join(list(item.tensors)[:3])
        raise CheckpointError(
            f"{path.name} has no name that begins with {selection.prefix!r} and is not ignored",
            f"its names begin like {begin}",
        )
    return tensors, left


def _refuse_key(path: Path, value: object, selection: Selection) -> list[StateDict]:
    keys = [item.key or "(the top)" for item in find_state_dicts(value)]
    raise CheckpointError(
        f"{path.name} has no weights under {selection.key!r}", f"it has some under: {', '.join(keys[:SHOWN]) or 'none'}"
    )


def _unread(content: Content) -> tuple[str, ...]:
    named = [*content.not_read.items()]
    lines = [f"{count} object{'s' * (count > 1)} of {name}" for name, count in named[:MOST_UNREAD]]
    more = sum(count for _, count in named[MOST_UNREAD:])
    return (*lines, *([f"{more} of other classes"] if more else []))


def _no_weights(path: Path, content: Content, selection: Selection) -> CheckpointError:
    value = content.value
    if not isinstance(value, Mapping):
        kind = value.name if isinstance(value, Placeholder) else type(value).__name__
        if kind.startswith("__torch__."):
            return CheckpointError(
                f"{path.name} is a frozen TorchScript program, whose weights have no names",
                "give the checkpoint, or the program before torch.jit.freeze",
            )
        return CheckpointError(f"{path.name} holds a {kind} and no dictionary of weights", RESAVE)
    kind = "weights" if selection.weights == "auto" else f"{selection.weights} weights"
    present = ", ".join(map(str, list(value)[:SHOWN])) or "nothing"
    unread = _unread(content)
    present += f"; not read: {', '.join(unread[:SHOWN])}" if unread else ""
    special = next(filter(None, map(special_tensor, content.not_read)), None)
    if selection.weights != "auto":
        hint = "give --weights auto to take what is there"
    elif special:
        return CheckpointError(
            f"what {path.name} holds in place of weights is {special.what}, which is not read", special.hint
        )
    else:
        hint = JOIN_SHARDS if "param_shapes" in value else RESAVE
    return CheckpointError(f"{path.name} holds no {kind}; it has: {present}", hint)


def names_of(checkpoints: Sequence[Checkpoint]) -> str:
    """Returns the keys of state dicts for a message."""
    return ", ".join(item.key or "(the top)" for item in checkpoints)
