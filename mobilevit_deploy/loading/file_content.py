"""What a checkpoint's file or folder holds, whatever a training framework wrote; nothing in it is run.

::

    best.pth, last.ckpt, model.pt (whole models and TorchScript, too)   through ``inert``
    model.safetensors, model.safetensors.index.json, weights.npz        tensors alone
    program.pt2                                                         the weights of an exported program
    folder/                                                             of Hugging Face: the files that it names
"""

import io
import json
import math
import pickle
import tarfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.checkpoint_files import RESAVE, SUFFIXES, UNPACK, refuse_text, refuse_what_is_none
from mobilevit_deploy.loading.inert import unpickler
from mobilevit_deploy.loading.inert.values import PickledTensorError
from mobilevit_deploy.loading.pickle_limits import CostlyFileError, check_pickles
from mobilevit_deploy.loading.records import COPY_AGAIN, Record, damaged, read_record
from mobilevit_deploy.system.array_files import claimed_bytes, is_bomb

VERSIONS = ("version", "archive_version")  # entries that PyTorch's own archives have
ZIP = b"PK\x03\x04"  # what PyTorch's archives begin with
# What torch.export.save writes for a dtype (torch/_export/serde/schema.py, ScalarType).
EXPORTED_DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}


@dataclass(frozen=True)
class Content:
    """What was read.

    Attributes:
        value: a dictionary, perhaps with placeholders; of a whole model, its placeholder.
        not_read: how many placeholders there are of each name.
        records: what storages were made of, by their address, where the file has checksums that nobody compared yet.
    """

    value: Any
    not_read: Mapping[str, int] = field(default_factory=dict)
    records: Mapping[int, Record] = field(default_factory=dict)


def read_files(files: list[Path]) -> Content:
    """Reads the files of a checkpoint; several are parts of one.

    Raises:
        CheckpointError: a file is damaged, or no checkpoint.
    """
    contents = [_read(file) for file in files]
    if len(contents) == 1:
        return contents[0]
    joined: dict[str, Any] = {}
    records: dict[int, Record] = {}
    for file, content in zip(files, contents, strict=True):
        if not isinstance(content.value, Mapping):
            raise CheckpointError(f"{file.name} is a part of a checkpoint and holds no dictionary", RESAVE)
        joined |= content.value
        records |= content.records
    return Content(joined, sum((Counter(content.not_read) for content in contents), Counter()), records)


def _read(path: Path) -> Content:
    refuse_what_is_none(path)
    if path.suffix.lower() == ".npz":
        return Content(_read_arrays(path))
    if _is_safetensors(path):
        return Content(_read_safetensors(path))
    return _read_pickled(path)


def _is_safetensors(path: Path) -> bool:
    """Tells a file by its name or by how it begins: the length of a header, and the header, which is JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    if path.suffix.lower() == ".safetensors":
        if head.startswith(ZIP):
            raise CheckpointError(f"{path.name} is an archive of PyTorch's", f"rename it to {path.stem}.pth")
        return True
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size


def _read_safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        return cast("Mapping[str, Tensor]", load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        refuse_text(path)
        raise CheckpointError(
            f"{path.name} is damaged or no safetensors file: {error}", "copy the file again"
        ) from error


def _read_arrays(path: Path) -> Mapping[str, Tensor]:
    """Reads an archive of numpy arrays; none that holds Python objects."""
    try:
        if is_bomb(claimed_bytes(path), path.stat().st_size):
            raise CostlyFileError("it unpacks to much more than its own size")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(_native(arrays[name])) for name in arrays.files}
    except zipfile.BadZipFile as error:  # which names the array
        raise CheckpointError(f"{path.name} is damaged: {error}", COPY_AGAIN) from error
    except Exception as error:  # a damaged archive ends in almost any exception
        raise CheckpointError(
            f"{path.name} is damaged, or holds more than arrays of numbers: {error}", "copy the file again"
        ) from error


def _native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns a copy whose bytes are in this machine's order."""
    return array.astype(array.dtype.newbyteorder("="))


def _read_pickled(path: Path) -> Content:
    try:
        with _Bounded(path) as file:
            archive = zipfile.is_zipfile(file)
            if tarfile.is_tarfile(path):  # which may have a zip archive at its end
                hint = f"unpack it, or, if it is a checkpoint in PyTorch's first format, {RESAVE}"
                raise CheckpointError(f"{path.name} is a tar archive", hint)
            if archive:
                _refuse_other_archive(path)
            check_pickles(file, path.stat().st_size)
            exported = _read_exported(path) if archive else None
            return exported or _read_with_torch(path, file, archive=archive)
    except (CheckpointError, FileNotFoundError):
        raise
    except PickledTensorError as error:
        raise CheckpointError(
            f"{path.name} was written by pickle.dump, which makes pickles of tensors that are not read here",
            f"write it anew: torch.save(pickle.load(open({path.name!r}, 'rb')), '{path.stem}.pth')",
        ) from error
    except CostlyFileError as error:
        raise CheckpointError(f"{path.name} was not loaded: {error}", f"do not use it, or {RESAVE}") from error
    except Exception as error:  # a damaged file ends in almost any exception of the reader
        refuse_text(path)
        reason = str(error).strip().split(". ")[0].splitlines()
        said = f" ({reason[0]})" if reason and " " in reason[0] else ""
        raise CheckpointError(
            f"{path.name} is damaged or no PyTorch checkpoint{said}",
            "it may be cut off: compare its size with the original and copy it again",
        ) from error


def _refuse_other_archive(path: Path) -> None:
    """Raises CheckpointError for a zip archive that somebody packed a checkpoint into."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    inside = [name for name in names if Path(name).suffix.lower() in SUFFIXES]
    if inside and not any(Path(name).name in VERSIONS for name in names):
        raise CheckpointError(f"{path.name} is a zip archive with {inside[0]} in it", UNPACK)


class _Bounded(io.BufferedReader):
    """A file that reserves no memory for more than it has: a pickle may claim a text of an exabyte."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        rest = self._size - self.tell()
        return super().read(rest if size is None or size < 0 else min(size, rest))


def _read_with_torch(path: Path, file: BinaryIO, *, archive: bool) -> Content:
    """Lets PyTorch read the archive and the storages, and the inert reader the pickle."""
    counts: Counter[str] = Counter()
    records: dict[int, Record] = {}
    names = _names_in(path) if archive else {}

    class Noting(unpickler.Unpickler):
        def __init__(self, stream: Any, **settings: object) -> None:
            super().__init__(stream, **settings)
            self.placeholders = counts

        def load_storage(self, known: tuple[Any, ...]) -> Any:
            storage = super().load_storage(known)
            name = names.get(f"data/{known[2]}")
            if name:
                records[storage.data_ptr()] = Record(path, name)
            return storage

    module = SimpleNamespace(__name__="inert", Unpickler=Noting, load=unpickler.load)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's advice on pickles, which nothing here unpickles
        if "constants.pkl" in names:  # of TorchScript
            # torch.load would hand the program to torch.jit, which makes its code; its weights are in the same pickle.
            with torch.serialization._open_zipfile_reader(file) as reader:
                value = torch.serialization._load(reader, "cpu", module)  # type: ignore[no-untyped-call]
        else:
            first = None if archive else Noting(file).load()
            if not archive and first != torch.serialization.MAGIC_NUMBER:  # as Python's own pickle.dump writes it
                return Content(first, dict(counts))
            file.seek(0)
            # Mapping the file keeps an optimizer's state, twice the weights, out of memory.
            source = path if archive else file
            value = torch.load(source, map_location="cpu", pickle_module=module, weights_only=False, mmap=archive)
    return Content(value, dict(counts), records)


def _names_in(path: Path) -> dict[str, str]:
    """Returns the names in one of PyTorch's archives, by what follows its folder."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: name for name in archive.namelist()}


def _read_exported(path: Path) -> Content | None:
    """Returns the weights of what ``torch.export.save`` wrote; None for another archive."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        config = next((name for name in names if name.endswith("/data/weights/model_weights_config.json")), None)
        if config is not None:
            return Content(_exported_weights(path, archive, config))
        old = next((name for name in names if name.rpartition("/")[2] == "serialized_state_dict.pt"), None)
        if old is None:
            old = next((name for name in names if name.endswith("/data/weights/model.pt")), None)
        if old is None:
            return None
        content = read_record(archive, archive.getinfo(old))
    with io.BytesIO(content) as stream:
        check_pickles(stream, len(content))
        value = torch.load(stream, map_location="cpu", pickle_module=unpickler, weights_only=False)
    return Content(value)


def _exported_weights(path: Path, archive: zipfile.ZipFile, config: str) -> Mapping[str, Tensor]:
    """Returns the tensors that a list of weights names; none with more values than the file has bytes."""
    folder, size = config.rpartition("/")[0], path.stat().st_size
    found = {}
    for name, entry in json.loads(read_record(archive, archive.getinfo(config)))["config"].items():
        meta = entry["tensor_meta"]
        if entry["use_pickle"]:
            raise pickle.UnpicklingError(f"the weight {name} is pickled")
        sizes, strides = ([int(size["as_int"]) for size in meta[key]] for key in ("sizes", "strides"))
        if math.prod(sizes) > size:
            raise CostlyFileError(f"it claims a tensor of {math.prod(sizes):,} values, more than the file has bytes")
        try:
            content = bytearray(read_record(archive, archive.getinfo(f"{folder}/{entry['path_name']}")))
        except zipfile.BadZipFile as error:
            raise damaged(path, name) from error
        flat = torch.frombuffer(content, dtype=EXPORTED_DTYPES[meta["dtype"]]) if content else torch.empty(0)
        found[name] = flat.as_strided(sizes, strides, int(meta["storage_offset"]["as_int"])).clone()
    return found
