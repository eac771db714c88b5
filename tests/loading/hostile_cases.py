"""Broken and hostile checkpoints, by what is wrong with them."""

import io
import json
import os
import pickle
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from mobilevit_deploy.loading import checkpoint
from mobilevit_deploy.loading.file_content import Content
from tests.loading.pickles import FORMS, SPOTS, fragment, name, old_format, weights, zipped
from tests.research.tiny_net import build


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build().state_dict()


def read_freely(_log: Path) -> None:
    """Makes Python's own unpickler the reader of checkpoints; called in a fork, to see that what it does is seen."""

    def read(files: list[Path]) -> Content:
        with suppress(Exception):  # of what a file has called
            return Content(pickle.loads(files[0].read_bytes()))  # noqa: S301 - by design
        return Content({})

    checkpoint.read_files = read  # type: ignore[attr-defined]


def saved(content: Any, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


TENSORS: dict[str, dict[str, Any]] = {
    "a terabyte": {"size": (2**38,), "count": 2**38},
    "16 GB": {"size": (2**32,), "count": 2**32},
    "larger than its storage": {"size": (2**20, 2**10), "stride": (2**10, 1)},
    "a terabyte by stride 0": {"size": (2**20, 2**20), "stride": (0, 0)},
    "a size that wraps around": {"size": (2**62, 4), "stride": (4, 1)},
    "a stride that wraps around": {"size": (2, 2), "stride": (2**62, 1)},
    "a negative size": {"size": (-1,)},
    "a negative stride": {"size": (2, 2), "stride": (-2, 1)},
    "a negative offset": {"offset": -4},
    "an offset beyond the end": {"offset": 2**40},
    "a size that is no number": {"size": ("a",)},
    "a thousand dimensions": {"size": (1,) * 1000, "stride": (1,) * 1000},
    "more sizes than strides": {"size": (2, 2)},
    "a storage that is not there": {"key": "7"},
    "a storage outside the file": {"key": "../../secret"},
    "a storage by absolute path": {"key": "/etc/passwd"},
    "a negative storage": {"count": -4},
    "a storage of no type": {"kind": "PlantedStorage"},
    "a quantised tensor": {"kind": "QInt8Storage"},
    "a storage of another type": {"kind": "ComplexDoubleStorage"},
}


def expanding_tuple(levels: int) -> bytes:
    """Returns opcodes for a dictionary whose key takes 2 ** levels steps to hash."""
    doubled = b"".join(b"q" + bytes([64 + i]) + b"h" + bytes([64 + i]) + b"\x86" for i in range(levels))
    return b"}" + b")" + doubled + fragment(1) + b"s"


EXABYTE = b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"."


CONTENTS: dict[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(10_000),
    "text": b"#!/bin/sh\ntouch proof\n",
    "a number": saved(3),
    "a list": saved([torch.ones(2)]),
    "no tensors": saved({"model": {"a": 1}}),
    "a nested dictionary": zipped(b"\x80\x02}" + (fragment("model") + b"}") * 5000 + b"s" * 5000 + b"."),
    "a dictionary in itself": zipped(b"\x80\x02}q\x63" + fragment("model") + b"h\x63s."),
    "a key that takes for ever to hash": zipped(b"\x80\x02" + expanding_tuple(60) + b"."),
    "another model": saved(torch.nn.Linear(2, 2).state_dict()),
    "a missing weight": saved(dict(list(state().items())[1:])),
    "a weight too many": saved({**state(), "planted": torch.ones(1)}),
    "a name with control characters": saved({**state(), "\x1b[2J\x1b]0;owned\x07": torch.ones(1)}),
    "a name of a megabyte": saved({**state(), "a" * 10**6: torch.ones(1)}),
    "other shapes": saved({key: value[..., None] for key, value in state().items()}),
    "integers": saved({key: value.int() for key, value in state().items()}),
    "NaN": saved({key: value * float("nan") for key, value in state().items()}),
    "infinity": saved({key: value / 0 for key, value in state().items()}),
    "complex numbers": saved({key: value.to(torch.complex64) for key, value in state().items()}),
    "sparse weights": saved({key: value.to_sparse() for key, value in state().items()}),
    "weights on meta": saved({key: value.to("meta") for key, value in state().items()}),
    "a stack that underflows": zipped(b"\x80\x02RRRR."),
    "no end": zipped(b"\x80\x02}"),
    "an unknown opcode": zipped(b"\x80\x02\xff."),
    "a mark that is not there": zipped(b"\x80\x02t."),
    "a memo that is not there": zipped(b"\x80\x02h\x09."),
    "a string of 4 GB": zipped(b"\x80\x02X\xff\xff\xff\xff."),
    "a string of an exabyte": zipped(EXABYTE),
    "a string of an exabyte in the old format": old_format(EXABYTE),
    "a string of an exabyte without a format": EXABYTE,
    "protocol 255": zipped(b"\x80\xff}."),
    "a module of the user's": zipped(b"\x80\x02" + name("tests.research.tiny_net", "build") + b")R."),
    "a sparse tensor with indices outside": zipped(
        weights(name("torch._utils", "_rebuild_sparse_tensor") + b"(" + fragment(1) + fragment(((), (), (1,))) + b"tR")
    ),
}


def archive(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for entry, content in entries:
            file.writestr(entry, content)
    return buffer.getvalue()


def zip_bomb(entry: str, beside: Mapping[str, bytes], begin: bytes = b"") -> bytes:
    """Returns an archive of 3 MB with 2.6 GB of zeros in one entry; its checksum is wrong, which is seen at the end."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**26)) + packer.flush(zlib.Z_FULL_FLUSH)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in beside.items():
            file.writestr(name, content)
        file.writestr(entry, head + block * 39 + packer.flush())
        info = file.infolist()[-1]
        info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, len(begin) + 39 * 2**26
    made = bytearray(buffer.getvalue())
    at = info.header_offset
    made[at + 8 : at + 10] = struct.pack("<H", zipfile.ZIP_DEFLATED)
    made[at + 22 : at + 26] = struct.pack("<I", info.file_size)
    return bytes(made)


def claiming(size: int) -> bytes:
    """Returns an archive whose directory says that its pickle has another size than it has."""
    content = bytearray(zipped(pickle.dumps({})))
    at = content.index(b"PK\x01\x02")
    content[at + 20 : at + 28] = struct.pack("<II", size, size)
    return bytes(content)


def tarred(*members: tuple[str, bytes | str]) -> bytes:
    """Returns PyTorch's first format, a tar; a text is where a link leads."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for member, content in members:
            info = tarfile.TarInfo(member)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                file.addfile(info)
            else:
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def exported(**changes: object) -> bytes:
    """Returns an archive of ``torch.export.save`` that lies of its first weight."""
    meta: dict[str, object] = {
        "dtype": 7, "sizes": [{"as_int": 4}], "strides": [{"as_int": 1}], "storage_offset": {"as_int": 0}, **changes,
    }  # fmt: skip
    entry = {"path_name": changes.get("path_name", "weight_0"), "use_pickle": changes.get("use_pickle", False)}
    config = json.dumps({"config": {"0.weight": {**entry, "tensor_meta": meta}}})
    folder = "program/data/weights"
    return archive((f"{folder}/model_weights_config.json", config.encode()), (f"{folder}/weight_0", bytes(16)))


SYSTEM = FORMS["REDUCE"]("os", "system", ("true",))
HUGE = [{"as_int": 2**20}, {"as_int": 2**20}]
PROGRAMS: dict[str, bytes] = {
    "a weight of terabytes": exported(sizes=HUGE, strides=[{"as_int": 0}, {"as_int": 0}]),
    "a weight beyond its bytes": exported(sizes=[{"as_int": 8}]),
    "a negative size": exported(sizes=[{"as_int": -4}]),
    "a size in words": exported(sizes=[{"as_int": "a"}]),
    "a size of no number": exported(sizes=[{"as_expr": "s0"}]),
    "a place beyond the end": exported(storage_offset={"as_int": 2**40}),
    "a stride that wraps around": exported(strides=[{"as_int": 2**62}]),
    "an unknown type": exported(dtype=99),
    "a pickle": exported(use_pickle=True),
    "a path out of the archive": exported(path_name="../../../../etc/passwd"),
    "a list that is no JSON": archive(("a/data/weights/model_weights_config.json", b"[" * 10_000)),
    "an older one with a call": archive(("serialized_state_dict.pt", SPOTS["an entry"](SYSTEM))),
    "an older one whose keys take for ever": archive(
        ("serialized_state_dict.pt", zipped(b"\x80\x02" + expanding_tuple(60) + b"."))
    ),
}


def scripted() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and its files are everywhere
        module = torch.jit.trace(build().eval(), torch.zeros(1, 3, 8, 8))  # type: ignore[no-untyped-call]
        torch.jit.save(module, buffer)
    return buffer.getvalue()


PLAIN = {"archive/version": b"3\n", "archive/data.pkl": b"\x80\x02}."}
ARCHIVES: dict[str, Callable[[], bytes]] = {
    "a TorchScript program's code alone": lambda: archive(
        ("a/data.pkl", b"\x80\x02}."), ("a/constants.pkl", b"\x80\x02)."), ("a/code/__torch__.py", b"import os")
    ),
    "a bomb in the pickle": lambda: zip_bomb("archive/data.pkl", {"archive/version": b"3\n"}),
    "a bomb beside the pickle": lambda: zip_bomb("archive/data/0", PLAIN),
    "a bomb that is called code": lambda: zip_bomb("archive/data//code/0", PLAIN),
    "a bomb in an exported program": lambda: zip_bomb("archive/code/data/weights/model.pt", PLAIN),
    "a claim of 4 GB": lambda: claiming(2**32 - 2),
    "a claim of 2 GB": lambda: claiming(2**31),
    "an empty archive": lambda: archive(),
    "no pickle": lambda: archive(("archive/version", b"3\n")),
    "paths out of the archive": lambda: archive(("../../data.pkl", b"\x80\x02}."), ("../../version", b"3\n")),
    "absolute paths": lambda: archive(("/etc/data.pkl", b"\x80\x02}."), ("/etc/version", b"3\n")),
    "drive letters": lambda: archive(("C:\\data.pkl", b"\x80\x02}."), ("C:\\version", b"3\n")),
    "two folders": lambda: archive(("a/data.pkl", b"\x80\x02}."), ("b/data.pkl", b"\x80\x02}."), ("a/version", b"3\n")),
    "ten thousand entries": lambda: archive(("a/version", b"3\n"), *((f"a/{i}", b"") for i in range(10_000))),
    "a version of the future": lambda: archive(("a/data.pkl", b"\x80\x02}."), ("a/version", b"999999\n")),
    "a version that is no number": lambda: archive(("a/data.pkl", b"\x80\x02}."), ("a/version", b"x" * 99)),
    "bytes in another order": lambda: archive(
        ("a/data.pkl", b"\x80\x02}."), ("a/version", b"3\n"), ("a/byteorder", b"middle")
    ),
    "the first format": lambda: tarred(("sys_info", pickle.dumps({})), ("storages", b""), ("pickle", b"")),
    "the first format, with a link": lambda: tarred(("sys_info", pickle.dumps({})), ("storages", "/etc/passwd")),
    "the first format, with a path": lambda: tarred(("../../storages", b""), ("sys_info", b"")),
    "a Word document": lambda: archive(
        ("word/version", b"3\n"), ("word/document.xml", b"<a/>"), ("[Content_Types].xml", b"<a/>")
    ),
}


PLACES: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to endless zeros": lambda path: path.symlink_to("/dev/zero"),
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/stdin"),
}


ONE_VALUE: dict[str, object] = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def lying(header: object, data: bytes = bytes(4), size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def claim(**changes: object) -> dict[str, object]:
    return {"0.weight": {**ONE_VALUE, **changes}}


LIES: dict[str, bytes] = {
    "nothing": b"",
    "a header of 16 exabytes": lying({}, size=2**64 - 1),
    "a header of 100 GB": lying({}, size=10**11),
    "a header longer than the file": lying({}, size=1000),
    "a header of nothing": lying(b""),
    "a header that is no JSON": lying(b"{" * 1000),
    "a header that is a list": lying([]),
    "a deep header": lying(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "a header of no UTF-8": lying(b"\xff\xfe\xff\xfe"),
    "the same name twice": lying(b'{"a":%b,"a":%b}' % ((b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}',) * 2)),
    "an unknown type": lying(claim(dtype="PLANTED")),
    "a type that is no text": lying(claim(dtype=3)),
    "a shape that is too large": lying(claim(shape=[2**40])),
    "a shape that wraps around": lying(claim(shape=[2**62, 2**62])),
    "a negative shape": lying(claim(shape=[-1])),
    "a shape that is no list": lying(claim(shape="1")),
    "a shape of fractions": lying(claim(shape=[0.5])),
    "an end beyond the file": lying(claim(shape=[2**30], data_offsets=[0, 2**32])),
    "an end before the start": lying(claim(data_offsets=[4, 0])),
    "a start beyond the end": lying(claim(data_offsets=[2**40, 2**40 + 4])),
    "a negative start": lying(claim(data_offsets=[-4, 0])),
    "one offset": lying(claim(data_offsets=[0])),
    "overlapping tensors": lying({"a": ONE_VALUE, "b": ONE_VALUE}),
    "a hole": lying(claim(data_offsets=[4, 8]), bytes(8)),
    "bytes after the end": lying(claim(), bytes(100)),
    "no tensor": lying({}, b""),
    "metadata alone": lying({"__metadata__": {"format": "pt"}}, b""),
    "metadata that is no text": lying({"__metadata__": {"a": 1}, **claim()}),
    "an empty tensor of terabytes": lying(claim(shape=[2**40, 0], data_offsets=[0, 0]), b""),
    "a pickle": pickle.dumps({}),
    "a zip": saved({}),
}
