"""The builtin operators by their codes, and the runtime that a version of one needs: a table, ``operators.toml``."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("operators.toml")
CUSTOM = 32


@cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


@cache
def _names() -> dict[int, str]:
    return {entry["code"]: name for name, entry in _table().items()}


def builtin_name(code: int) -> str:
    """Returns an operator's name; ``UNKNOWN_300`` for one that is newer than the table."""
    return _names().get(code, f"UNKNOWN_{code}")


def builtin_names() -> frozenset[str]:
    """Returns the names of all builtin operators."""
    return frozenset(_table())


def first_runtime(kind: str, version: int) -> str | None:
    """Returns the first runtime that has a version of an operator, such as ``2.9.0``; None where nobody says."""
    since = _table().get(kind, {"since": []})["since"]
    return (since[version - 1] or None) if 1 <= version <= len(since) else None
