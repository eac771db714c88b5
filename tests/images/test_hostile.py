"""Folders of images that are none, array files that lie, and files of class names."""

import io
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.loading.hostile_cases import PLACES, zip_bomb
from tests.loading.pickles import fragment, name
from tests.support.attacks import MANY, NET, Place, flipped, half, rotated, tenths
from tests.support.hostile import Attacks

ACCEPTED = "matches no module"  # the step after the images were read
SETTINGS = ("--input-size", "8", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--keep-fp32", "planted")


def export(images: Path) -> tuple[object, ...]:
    """Returns a command that reads images, and is refused after that."""
    return ("export", NET, "--to", "coreml", *SETTINGS, "--images", images)


def with_labels(path: Path) -> tuple[object, ...]:
    return ("export", NET, "--to", "coreml", "--input-size", "8", "--labels", path, "--images", "none")


def check(refuse: Attacks, cases: Iterable[Any], make: Callable[[Place, Any], Path]) -> None:
    found = refuse(cases, lambda place, case: export(make(place, case)))
    assert [case for case, done in found.items() if ACCEPTED in done.errors] == []


def picture(kind: str, side: int = 8) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def png_of(width: int, height: int) -> bytes:
    """Returns the beginning of a PNG that claims a size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10**6)))


def npy(header: str | bytes, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() if isinstance(header, str) else header
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\x01\x00" else "<I", len(text)) + text + data


def described(shape: str, kind: str = "'<f4'", data: bytes = b"") -> bytes:
    return npy(f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}}}\n", data)


def npz(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries.items():
            archive.writestr(f"{entry}.npy", content)
    return buffer.getvalue()


def saved(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue()


CALL = b"\x80\x02" + name("planted", "build") + fragment(()) + b"R."
OBJECTS = described("(1,)", "'|O'", CALL)
GOOD = saved(np.zeros((2, 3, 8, 8), np.float32))
ARRAYS: dict[str, Callable[[], bytes]] = {
    "a.npy, nothing": lambda: b"",
    "a.npy, a pickle": lambda: CALL,
    "a.npy, objects": lambda: OBJECTS,
    "a.npy, fields": lambda: described("(1,)", "[('a', '<f4'), ('b', '|O')]", bytes(12)),
    "a.npy, text": lambda: saved(["a", "b"]),
    "a.npy, dates": lambda: saved(np.zeros((1, 3, 8, 8), "M8[s]")),
    "a.npy, complex numbers": lambda: saved(np.zeros((1, 3, 8, 8), complex)),
    "a.npy, bits": lambda: saved(np.zeros((1, 3, 8, 8), bool)),
    "a.npy, NaN": lambda: saved(np.full((1, 3, 8, 8), np.nan, np.float32)),
    "a.npy, infinity": lambda: saved(np.full((1, 3, 8, 8), np.inf, np.float32)),
    "a.npy, numbers beyond float32": lambda: saved(np.full((1, 3, 8, 8), 1e300)),
    "a.npy, another size": lambda: saved(np.zeros((1, 3, 9, 9), np.float32)),
    "a.npy, one number": lambda: saved(3.0),
    "a.npy, no images": lambda: saved(np.zeros((0, 3, 8, 8), np.float32)),
    "a.npy, a terabyte": lambda: described("(1431655765, 3, 8, 8)"),
    "a.npy, 16 GB": lambda: described("(22369622, 3, 8, 8)"),
    "a.npy, a size that wraps around": lambda: described("(4611686018427387904, 3, 8, 8)"),
    "a.npy, a negative size": lambda: described("(-1, 3, 8, 8)", data=bytes(768)),
    "a.npy, a size in words": lambda: described("('a', 3, 8, 8)"),
    "a.npy, a size of a million digits": lambda: described(f"({'1' * 60_000},)"),
    "a.npy, code in the header": lambda: npy("__import__('planted')"),
    "a.npy, brackets in the header": lambda: npy("[" * 60_000),
    "a.npy, a header of 4 GB": lambda: b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{}",
    "a.npy, a version of the future": lambda: npy("{}", version=b"\x09\x00"),
    "a.npy, a header without a shape": lambda: npy("{'descr': '<f4'}"),
    "a.npz, nothing": lambda: b"",
    "a.npz, no archive": lambda: b"PK\x05\x06" + bytes(18),
    "a.npz, other names": lambda: npz(planted=GOOD),
    "a.npz, objects": lambda: npz(images=OBJECTS),
    "a.npz, objects as labels": lambda: npz(images=GOOD, labels=OBJECTS),
    "a.npz, a pickle": lambda: npz(images=CALL),
    "a.npz, labels of text": lambda: npz(images=GOOD, labels=saved(["a", "b"])),
    "a.npz, negative labels": lambda: npz(images=GOOD, labels=saved(np.array([-1, 0]))),
    "a.npz, too few labels": lambda: npz(images=GOOD, labels=saved(np.array([0]))),
    "a.npz, labels of fractions": lambda: npz(images=GOOD, labels=saved(np.array([0.5, 1.0]))),
    "a.npz, a terabyte": lambda: npz(images=described("(1431655765, 3, 8, 8)")),
    "a.npz, a bomb": lambda: zip_bomb("images.npy", {}, described("(3407872, 3, 8, 8)")),
    "a.npz, paths": lambda: npz(**{"../images": GOOD}),
    "a.txt, another name": lambda: b"",
}


def test_arrays(refuse: Attacks) -> None:
    check(refuse, ARRAYS, lambda place, case: place.write(case.partition(",")[0], ARRAYS[case]()))


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(planted) run\n%%EOF\n"
PICTURES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "nothing": ("a.png", lambda: b""),
    "text": ("a.jpg", lambda: b"a photograph\n"),
    "a program": ("a.jpg", lambda: b"\x7fELF" + bytes(100)),
    "a script": ("a.sh", lambda: b"#!/bin/sh\ntouch proof\n"),
    "PostScript called PNG": ("a.png", lambda: POSTSCRIPT),
    "PostScript": ("a.eps", lambda: POSTSCRIPT),
    "SVG": ("a.svg", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "SVG called PNG": ("a.png", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "PDF called JPEG": ("a.jpg", lambda: b"%PDF-1.7\n1 0 obj <</JavaScript 1>>"),
    "an icon called PNG": ("a.png", lambda: picture("ICO")),
    "a Photoshop file called PNG": ("a.png", lambda: b"8BPS\x00\x01" + bytes(100)),
    "a terapixel": ("a.png", lambda: png_of(2**20, 2**20)),
    "150 million pixels": ("a.png", lambda: png_of(15_000, 10_000)),
    "the largest PNG": ("a.png", lambda: png_of(2**31 - 1, 2**31 - 1)),
    "no pixels": ("a.png", lambda: png_of(0, 0)),
    "a pickle": ("a.png", lambda: CALL),
    "an array": ("a.npy", lambda: GOOD),
    "a header alone": ("a.gif", lambda: b"GIF89a" + b"\xff" * 7),
    "a BMP of terabytes": ("a.bmp", lambda: b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 2**30, 2**30, 1, 24, 0)),
    "a TIFF in a circle": ("a.tif", lambda: b"II*\x00\x08\x00\x00\x00" + b"\x00\x00\x08\x00\x00\x00"),
    "a PPM of a terapixel": ("a.ppm", lambda: b"P6 1048576 1048576 255\n"),
    "a PPM of words": ("a.ppm", lambda: b"P6 planted planted 255\n"),
    "another suffix": ("a.txt", lambda: picture("PNG")),
}


@MANY
def test_pictures(refuse: Attacks, many: bool) -> None:
    def make(place: Place, case: tuple[str, str]) -> Path:
        (file, content), folder = PICTURES[case[0]], case[1]
        place.write(f"{folder}/good.png", picture("PNG"))
        place.write(f"{folder}/{file}", content())
        return place.given / "images"

    check(refuse, rotated(PICTURES, ["images", "images/class"], many), make)


@MANY
def test_truncated(refuse: Attacks, many: bool) -> None:
    cases = [(kind, tenth) for kind in ("PNG", "JPEG", "WEBP", "BMP") for tenth in half(range(10), many)]

    def make(place: Place, case: tuple[str, int]) -> Path:
        return place.write(f"images/a.{case[0].lower()}", list(tenths(picture(case[0])))[case[1]]).parent

    check(refuse, cases, make)


def _pictures(path: Path) -> Path:
    (path / "a.png").write_bytes(picture("PNG"))
    return path


FOLDERS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "an empty class": lambda path: (path / "class").mkdir(),
    "images beside classes": lambda path: shutil.copytree(_pictures(path), path / "class"),
    "a pipe": lambda path: os.mkfifo(path / "a.png"),
    "a link to itself": lambda path: (path / "a.png").symlink_to("a.png"),
    "a link to zeros": lambda path: (path / "a.png").symlink_to("/dev/zero"),
    "a link to a system file": lambda path: (path / "a.png").symlink_to("/etc/passwd"),
    "a folder in itself": lambda path: (path / "class").symlink_to("."),
    "hidden files alone": lambda path: (path / ".a.png").write_bytes(picture("PNG")),
}


def test_folders(refuse: Attacks) -> None:
    def make(place: Place, case: str) -> Path:
        folder = place.given / "images"
        folder.mkdir()
        FOLDERS[case](folder)
        return folder

    check(refuse, FOLDERS, make)


NAMES = "\n".join(f"class {i}" for i in range(10))
LABELS: dict[str, bytes] = {
    "nothing": b"",
    "one class": b"cat\n",
    "an empty line": NAMES.replace("class 3", "").encode(),
    "the same class twice": NAMES.replace("class 3", "class 4").encode(),
    "control characters": NAMES.replace("class 3", "\x1b[2J").encode(),
    "a null byte": NAMES.replace("class 3", "a\0b").encode(),
    "a line turned round": NAMES.replace("class 3", "\u202eclass").encode(),
    "not UTF-8": b"\xff\xfe" + NAMES.encode("utf-16-le"),
    "a picture": picture("PNG"),
    "8 MB": b"a\n" * 2**22,
    "a line of 8 MB": b"a" * 2**23,
}


def test_labels(refuse: Attacks) -> None:
    def make(place: Place, case: str) -> tuple[object, ...]:
        path = place.write("labels.txt", LABELS[case])
        return ("export", NET, "--to", "coreml", "--input-size", "8", "--labels", path)

    assert all("labels" in done.errors for done in refuse(LABELS, make).values())


def placed(case: str, path: Path) -> Path:
    PLACES[case](path)
    return path


def test_labels_that_are_no_file(refuse: Attacks) -> None:
    found = refuse(PLACES, lambda place, case: with_labels(placed(case, place.given / "labels.txt")))
    assert not any("is no folder of images" in done.errors for done in found.values())


def test_arrays_that_are_no_file(refuse: Attacks) -> None:
    check(refuse, PLACES, lambda place, case: placed(case, place.given / "a.npz"))


@MANY
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "npz"])
def test_flipped_bytes(attack: Attacks, kind: str, many: bool) -> None:
    """A flipped byte is refused, or harmless: a pixel of another colour."""
    made = flipped(npz(images=GOOD) if kind == "npz" else picture(kind), 30, many)

    def make(place: Place, number: int) -> tuple[object, ...]:
        path = place.write("a.npz" if kind == "npz" else f"images/a.{kind.lower()}", made[number])
        return export(path if kind == "npz" else path.parent)

    assert {done.code for done in attack(range(len(made)), make).values()} <= {1, 2}
