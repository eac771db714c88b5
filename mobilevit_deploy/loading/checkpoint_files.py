"""Which files a checkpoint is, found before anything is read; without PyTorch, so that a wrong name is refused at once.

::

    best.pth, model.safetensors, weights.npz      itself
    model.safetensors.index.json                  the files that it names
    folder/                                       of Hugging Face: the file, or the index, that lies in it
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from mobilevit_deploy.errors import CheckpointError

PICKLED = (".pth", ".pt", ".ckpt", ".tar", ".bin", ".pkl", ".pt2")
SUFFIXES = (*PICKLED, ".safetensors", ".npz")
BEGINNINGS = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # an archive, or a pickle of that protocol
FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
INDEX = ".index.json"
LARGEST_INDEX = 2**26  # bytes of JSON; that of a model with 100 000 tensors has a tenth
HEAD = 512  # bytes that are looked at to tell what a file is
MOST_LISTED = 1000  # entries of a folder that are looked at
SHOWN = 40  # letters of a text
# What else people have, by how it begins, with the next step.
UNPACK = "unpack it, and give the checkpoint in it"
OTHER_FORMATS = {
    b"\x1f\x8b": ("packed by gzip", UNPACK),
    b"BZh": ("packed by bzip2", UNPACK),
    b"\xfd7zXZ": ("packed by xz", UNPACK),
    b"\x28\xb5\x2f\xfd": ("packed by zstd", UNPACK),
    b"7z\xbc\xaf": ("packed by 7-Zip", UNPACK),
    b"\x89HDF": ("an HDF5 file, as Keras writes it", "save the weights by name: numpy.savez, or PyTorch"),
    b"\x93NUMPY": ("one array of numpy", "save the weights by name: numpy.savez"),
    b"GGUF": ("a GGUF file", "give the weights that it was made from"),
}

MERGE = (
    "merge them into those first (peft: PeftModel.from_pretrained(base, FOLDER).merge_and_unload()), and save that "
    "model's state dict"
)
JOIN_SHARDS = "it is a part of DeepSpeed's; join all: python zero_to_fp32.py FOLDER joined"
# What is told by its name: an archive or text that looks like another, or nothing that begins in a known way.
OTHER_SUFFIXES = {
    (".onnx", ".pte", ".tflite", ".mlmodel", ".mlpackage", ".mlmodelc", ".engine"): (
        "a model that was exported already",
        "give the weights that it was made from",
    ),
    (".keras", ".pb", ".index", ".meta"): (
        "a file of Keras or TensorFlow",
        "save the weights by name: numpy.savez, or PyTorch",
    ),
    (".msgpack",): ("a file of Flax", "save the weights by name, as PyTorch lays them out: numpy.savez"),
    (".pdparams", ".pdiparams"): (
        "a file of PaddlePaddle, which lays out matrices the other way",
        "save the weights by name, as PyTorch lays them out: numpy.savez",
    ),
    (".mar", ".zip"): ("an archive", UNPACK),
}

RESAVE = 'save the weights alone: torch.save({"model": model.state_dict()}, "weights.pth")'


def find_files(path: Path) -> list[Path]:
    """Returns the files of a checkpoint, the one that was given or those of a folder; nothing is opened but an index.

    Raises:
        CheckpointError: there is none, a part is missing, or it is of an unknown kind.
    """
    if not str(path) or path == Path():
        raise CheckpointError("--checkpoint names no file", "give the checkpoint's file")
    if path.is_dir():
        return _files_of_folder(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint file {path}", "check the path given to --checkpoint")
    if path.name.endswith(INDEX):
        return _files_of_index(path)
    if path.suffix.lower() not in SUFFIXES:
        refuse_what_is_none(path)
        _refuse_unless_pickled(path)
    return [path]


def _refuse_unless_pickled(path: Path) -> None:
    """Raises CheckpointError for a file of another name, such as ``best.th``, unless it begins as PyTorch's do."""
    suffix = path.suffix.lower()
    for suffixes, (what, hint) in OTHER_SUFFIXES.items():
        if suffix in suffixes:
            raise CheckpointError(f"{path.name} is {what}, and no checkpoint that is read here", hint)
    with path.open("rb") as file:
        head = file.read(2)
    if head not in BEGINNINGS:
        raise CheckpointError(f"{path.name}: a checkpoint ends in {', '.join(SUFFIXES)}", "rename it if it is one")


def _files_of_folder(folder: Path) -> list[Path]:
    found = next((folder / name for name in FOLDER_FILES if (folder / name).is_file()), None)
    if found:
        return find_files(found)
    if (folder / "adapter_config.json").is_file():
        raise CheckpointError(
            f"{folder} has LoRA adapters alone, and not the weights that they are added to",
            MERGE,
        )
    if (folder / ".metadata").is_file() or any(_found(folder, "*.distcp")):
        raise CheckpointError(
            f"{folder} is a distributed checkpoint in parts",
            f"join them: python -m torch.distributed.checkpoint.format_utils dcp_to_torch {folder} joined.pth",
        )
    if (folder / "zero_to_fp32.py").is_file() or any(_found(folder, "*zero_pp_rank_*")):
        raise CheckpointError(
            f"{folder} is a checkpoint of DeepSpeed in parts", f"join them: python zero_to_fp32.py {folder} joined"
        )
    files = sorted(item.name for item in islice(folder.iterdir(), MOST_LISTED) if item.suffix.lower() in SUFFIXES)
    shown = f": {', '.join(files[:5])}" if files else ""
    raise CheckpointError(f"{folder} is a folder and no checkpoint file", f"give the file in it{shown}")


def _found(folder: Path, pattern: str) -> Iterator[Path]:
    """Yields files of a folder, or of a folder in it; no deeper, for it may be one of images."""
    yield from folder.glob(pattern)
    for inner in islice(folder.iterdir(), MOST_LISTED):
        if inner.is_dir():
            yield from inner.glob(pattern)


def _files_of_index(path: Path) -> list[Path]:
    if path.stat().st_size > LARGEST_INDEX:
        raise CheckpointError(f"{path.name} is larger than an index is", "is it damaged?")
    try:
        names = sorted(set(json.loads(path.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path.name} is no index of a checkpoint: {error}", "copy it again") from error
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise CheckpointError(f"{path.name} names files that are not beside it", "do not use it")
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{path.parent} lacks {len(missing)} of {len(names)} parts: {', '.join(missing[:5])}",
            "copy the missing files",
        )
    return [path.parent / name for name in names]


def refuse_what_is_none(path: Path) -> None:
    """Raises CheckpointError for what people take for a checkpoint: a pointer to one, a web page, another format."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise CheckpointError(f"{path.name} is empty", "copy it again")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for begin, (what, hint) in OTHER_FORMATS.items():
        if head.startswith(begin):
            raise CheckpointError(f"{path.name} is {what}, and no checkpoint that is read here", hint)
    if text.startswith((b"{", b"[")):
        raise CheckpointError(f"{path.name} is text, such as a server's error, and no checkpoint", "look into it")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{path.name} is a pointer of Git LFS, and not the file itself", f"git lfs pull --include {path.name}"
        )
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise CheckpointError(
            f"{path.name} is a web page, and no checkpoint",
            "download the file itself: on GitHub and Hugging Face that is the link 'raw' or 'download'",
        )


def refuse_text(path: Path) -> None:
    """Raises CheckpointError for a file of text; asked where it was not read, for the oldest pickles are text, too."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    text = head.decode("utf-8", errors="replace").lstrip()
    begin = text.partition("\n")[0].strip()[:SHOWN]
    if begin and b"\0" not in head and all(letter.isprintable() or letter.isspace() for letter in text[:-1]):
        raise CheckpointError(
            f"{path.name} is a text file that begins with {begin!r}, and no checkpoint", "give the file of the weights"
        )
