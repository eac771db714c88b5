"""Broken cards and recipes: edits of the good ones, line by line and at places that refer to something."""

import re
from collections.abc import Iterator
from pathlib import Path

from mobilevit_deploy.catalog import catalog

ROOT = Path(catalog.__file__).parents[2]
KEY = re.compile(r"^(\w+)( = )(.*)$")

Change = tuple[str, str]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def use_cards(_log: Path) -> None:
    """Makes the catalog read the folder ``given`` of a test; called in a fork, in the folder beside it."""
    given = Path.cwd().parent / "given"
    catalog._folder = lambda name: given / name
    for cached in (catalog.models, catalog.recipes, catalog.devices):
        cached.cache_clear()


def line_edits(text: str) -> Iterator[tuple[str, str]]:
    """Yields what is done to each key that the file has, once a section, and the broken text."""
    lines, seen, section = text.splitlines(), set(), ""
    for i, line in enumerate(lines):
        if line.startswith("["):
            section = line.strip("[]").split("#")[0].strip("] ")
        found = KEY.match(line)
        if not found or (section, found[1]) in seen:
            continue
        seen.add((section, found[1]))
        where = f"{section}.{found[1]}".lstrip(".")
        yield f"{where} is called otherwise", _with(lines, i, f"planted{line}")
        yield f"{where} has another type", _with(lines, i, f"{found[1]} = {{ planted = [1] }}")


def _with(lines: list[str], i: int, line: str) -> str:
    return "\n".join([*lines[:i], line, *lines[i + 1 :]]) + "\n"


DEEP = "a = " + "[" * 100_000
NOT_TOML: dict[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(100),
    "binary": bytes(range(256)),
    "not UTF-8": b'name = "\xff\xfe"',
    "JSON": b'{"name": "onnx"}',
    "YAML": b"name: onnx\n",
    "the same key twice": b'name = "a"\nname = "b"\n',
    "brackets": DEEP.encode(),
    "tables in tables": b"[" + b"a." * 50_000 + b"a]\nb = 1\n",
    "a line of a megabyte": b'name = "' + b"a" * 2**20 + b'"\n',
    "a number of a million digits": b"schema = " + b"1" * 10**6,
    "an unfinished text": b'name = "onnx',
    "control characters": b'name = "\x1b[2J"\n',
    "a key with control characters": b'"\\u001b[2J" = 1\n',
    "a shell script": b"#!/bin/sh\ntouch proof\n",
    "a list in place of a table": b"version = [1, 2]\n",
}

RECIPES: dict[str, Change] = {
    "a rewrite that does not exist": ('name = "fuse_gelu"', 'name = "planted"'),
    "a rewrite by a path": ('name = "fuse_gelu"', 'name = "../planted.py"'),
    "a rewrite of Python's": ('name = "fuse_gelu"', 'name = "os.system"'),
    "a target that does not exist": ('target = "onnx"', 'target = "planted"'),
    "a target by a path": ('target = "onnx"', 'target = "../planted"'),
    "another target": ('target = "onnx"', 'target = "coreml"'),
    "a precision that does not exist": ('default_precision = "fp32"', 'default_precision = "fp31"'),
    "a precision without tolerances": ('default_precision = "fp32"', 'default_precision = "w8"'),
    "a tolerance of infinity": ("max_rel = 1e-5", "max_rel = inf"),
    "a tolerance that is no number": ("max_rel = 1e-5", "max_rel = nan"),
    "a tolerance in words": ("max_rel = 1e-5", 'max_rel = "small"'),
    "a version of the future": ("default = 20", "default = 99"),
    "a version in words": ("default = 20", 'default = "newest"'),
    "a version that is a date": ("default = 20", "default = 2026-01-01"),
    "an upside-down range": ("minimum = 18", "minimum = 99"),
    "a tolerance for no precision": ("[tolerances.fp32]", "[tolerances.fp31]"),
    "a compression that does not exist": ("[version]", "[compression]\nw8 = []\n[version]"),
}

FAMILY: dict[str, Change] = {
    "a family without an architecture": ('family = "cas_vit"', 'family = "planted"'),
    "a family by a path": ('family = "cas_vit"', 'family = "../planted"'),
    "a family of Python's": ('family = "cas_vit"', 'family = "os.path"'),
    "a task that does not exist": ('tasks = ["classify", "features"]', 'tasks = ["planted"]'),
    "sizes for no task": ("multiple_of = { classify = 32, features = 32 }", "multiple_of = { classify = 32 }"),
    "a size of nothing": (
        "multiple_of = { classify = 32, features = 32 }",
        "multiple_of = { classify = 0, features = 0 }",
    ),
    "an option that does not exist": ("widths = [48, 56, 112, 220] }", "widths = [48, 56, 112, 220], planted = 1 }"),
    "widths in words": ("widths = [48, 56, 112, 220] }", 'widths = ["a", "b", "c", "d"] }'),
    "too few widths": ("widths = [48, 56, 112, 220] }", "widths = [48] }"),
    "negative widths": ("widths = [48, 56, 112, 220] }", "widths = [-48, -56, -112, -220] }"),
    "no architecture": ("architecture = { depths = [2, 2, 4, 2], widths = [48, 56, 112, 220] }", ""),
    "no parameters": ("parameters = 2_979_700", "parameters = 0"),
    "an accuracy for a reconstruction": ("reconstruction = false", "reconstruction = true"),
    "another interpolation": ('interpolation = "bicubic"', 'interpolation = "planted"'),
    "two channels": ("mean = [0.485, 0.456, 0.406]", "mean = [0.485, 0.456]"),
    "a mean of infinity": ("mean = [0.485, 0.456, 0.406]", "mean = [inf, 0.456, 0.406]"),
    "no classes": ("num_classes = 1000", "num_classes = -1"),
}

DEVICE: dict[str, Change] = {
    "another kind": ('kind = "host"', 'kind = "planted"'),
    "a backend that does not exist": ('backends = ["onnxruntime", ', 'backends = ["planted", '),
    "no name": ('name = "host"', ""),
    "targets that are no list": ('targets = ["onnx"]', 'targets = "onnx"'),
}
