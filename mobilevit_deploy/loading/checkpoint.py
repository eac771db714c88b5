"""Reading a checkpoint as untrusted input: which tensors it holds, and where they came from.

Nothing in the file is executed: ``.safetensors`` cannot hold code, and everything else goes through
``torch.load(weights_only=True)``, with ``argparse.Namespace`` as the one extra type (it is inert data, and
the training scripts of these families save their arguments as one).
"""

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.pickle_limits import CostlyFileError, check_pickles
from mobilevit_deploy.system.hashing import sha256_of

WeightsChoice = Literal["auto", "ema", "raw"]

PICKLED = (".pth", ".pt", ".ckpt", ".tar", ".bin")
EMA_KEYS = ("model_ema", "ema_model", "state_dict_ema", "ema")
RAW_KEYS = ("model", "state_dict", "net")
PREFIXES = ("module.", "backbone.", "model.")
DEEPEST = 6  # containers around the weights; Lightning with an average has three

RESAVE = 'save the weights alone: torch.save({"model": model.state_dict()}, "weights.pth")'


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one checkpoint file.

    Attributes:
        path: the file.
        sha256: of the whole file.
        key: the entry that the weights were found under; empty when they lie at the top.
        tensors: the weights under their names in the file.
        not_loaded: the other entries (optimizer, epoch, the weights that were not chosen, ...).
    """

    path: Path
    sha256: str
    key: str
    tensors: Mapping[str, Tensor]
    not_loaded: tuple[str, ...]

    def holds(self, name: str) -> bool:
        """Tells whether a tensor is there under the name or behind a known prefix."""
        return self.find(name) is not None

    def find(self, name: str) -> Tensor | None:
        """Returns the tensor of that name, with or without a known prefix."""
        return next((tensor for key, tensor in self.tensors.items() if name in name_forms(key)), None)


def name_forms(key: str) -> Iterator[str]:
    """Yields a key as it stands, then with its leading ``module.``, ``backbone.``, ``model.`` taken off one by one."""
    yield key
    while prefix := next((p for p in PREFIXES if key.startswith(p)), None):
        key = key.removeprefix(prefix)
        yield key


def read_checkpoint(path: Path, weights: WeightsChoice = "auto") -> Checkpoint:
    """Reads a checkpoint file without running anything in it.

    Args:
        path: ``.pth``, ``.pt``, ``.ckpt``, ``.tar``, ``.bin`` or ``.safetensors``.
        weights: ``ema`` or ``raw`` insist; ``auto`` takes the exponential moving average where there is one.

    Raises:
        CheckpointError: the file is missing, damaged, of an unknown kind, would run code when unpickled,
            or holds no weights of the kind asked for.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder and no checkpoint file", "give the file in it")
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint file {path}", "check the path given to --checkpoint")
    if path.suffix == ".safetensors":
        content = _read_safetensors(path)
    elif path.suffix in PICKLED:
        content = _read_pickle(path)
    else:
        raise CheckpointError(
            f"{path.name}: a checkpoint ends in {', '.join((*PICKLED, '.safetensors'))}", "rename it if it is one"
        )
    key, tensors, rest = _choose(path, content, weights)
    return Checkpoint(path, sha256_of(path), key, tensors, rest)


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path.name} is damaged or no safetensors file: {error}", "copy the file again"
        ) from error


def _read_pickle(path: Path) -> Mapping[str, Any]:
    try:
        check_pickles(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # PyTorch's advice on a TorchScript file is to load it unsafely
            # Mapping the file keeps an optimizer's state, twice the weights, out of memory.
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except CostlyFileError as error:
        raise CheckpointError(f"{path.name} was not loaded: {error}", f"do not use it, or {RESAVE}") from error
    except pickle.UnpicklingError as error:
        raise _unsafe_or_damaged(path, error) from error
    except Exception as error:  # a damaged file ends in almost any exception of the unpickler
        if _is_torchscript(path):
            raise CheckpointError(f"{path.name} is a TorchScript program and no checkpoint", RESAVE) from error
        reason = str(error).strip().split(". ")[0].splitlines()
        said = f" ({reason[0]})" if reason and " " in reason[0] else ""
        raise CheckpointError(
            f"{path.name} is damaged or no PyTorch checkpoint{said}",
            "it may be cut off: compare its size with the original and copy it again",
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path.name} holds a {type(content).__name__} and no dictionary of weights", RESAVE)
    return content


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except Exception:  # no archive, or one whose directory is damaged, which ends in almost any exception
        return False


def _unsafe_or_damaged(path: Path, error: Exception) -> CheckpointError:
    found = re.search(r"(?:Unsupported global: GLOBAL|Trying to (?:call|access|instantiate)\S*)\s+([\w.]+)", str(error))
    if found is None:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if found is None:
        return CheckpointError(
            f"{path.name} is damaged or holds what mvd does not unpickle", f"copy the file again, or {RESAVE}"
        )
    return CheckpointError(
        f"{path.name} holds the Python object {found[1]}; unpickling it could run code, so nothing was loaded", RESAVE
    )


def _choose(
    path: Path, content: Mapping[str, Any], weights: WeightsChoice
) -> tuple[str, Mapping[str, Tensor], tuple[str, ...]]:
    """Returns the key, the tensors and the names of everything else."""
    wanted = {"auto": (*EMA_KEYS, *RAW_KEYS), "ema": EMA_KEYS, "raw": RAW_KEYS}[weights]
    for key in wanted:
        tensors = _state_dict(content.get(key))
        if tensors is not None:
            return key, tensors, tuple(str(name) for name in content if name != key)
    tensors = _tensors_in(content) if weights != "ema" else None
    if tensors is not None:
        return "", tensors, tuple(str(name) for name in content if name not in tensors)
    kind = "weights" if weights == "auto" else f"{weights} weights"
    top = "" if weights == "ema" else " or at the top"
    present = ", ".join(map(str, list(content)[:12])) or "nothing"
    raise CheckpointError(
        f"{path.name} holds no {kind} under {', '.join(wanted)}{top}; it has: {present}",
        "give --weights auto to take what is there" if weights != "auto" else RESAVE,
    )


def _state_dict(value: object, depth: int = 0) -> Mapping[str, Tensor] | None:
    """Returns the tensors in a container, or in the state dict that it wraps (Lightning, EMA classes)."""
    if not isinstance(value, Mapping) or depth == DEEPEST:  # a dictionary may hold itself
        return None
    direct = _tensors_in(value)
    if direct is not None:
        return direct
    return next((inner for key in RAW_KEYS if (inner := _state_dict(value.get(key), depth + 1)) is not None), None)


def _tensors_in(value: Mapping[Any, Any]) -> Mapping[str, Tensor] | None:
    tensors = {name: entry for name, entry in value.items() if isinstance(name, str) and isinstance(entry, Tensor)}
    return tensors or None
