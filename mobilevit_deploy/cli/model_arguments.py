"""What --model-arg says: names, and values as TOML or JSON has them."""

import json
import tomllib
from typing import Any

import typer

PYTHON_WORDS = {"True": True, "False": False, "None": None}


def parse_arguments(given: list[str] | None) -> dict[str, object]:
    """Returns ``key=value`` texts as a dictionary; a usage error for one that has no key, or a key twice.

    A value is what JSON or TOML makes of it, or Python's own ``True``, ``False`` and ``None``; else it is text.
    """
    found: dict[str, object] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise typer.BadParameter(f"{text!r} is no argument: give KEY=VALUE, for example --model-arg depth=4")
        if key in found:
            raise typer.BadParameter(f"--model-arg gives {key} twice")
        found[key] = _parse_value(value)
    return found


def _parse_value(text: str) -> object:
    if text in PYTHON_WORDS:
        return PYTHON_WORDS[text]
    for read in (json.loads, _parse_toml):
        try:
            value: object = read(text)
            json.dumps(value, allow_nan=False)  # a date, or a number that is none, is meant as text
        except (ValueError, TypeError, RecursionError):
            continue
        return value
    return text


def _parse_toml(text: str) -> Any:
    content = tomllib.loads(f"value = {text}")
    if list(content) != ["value"]:  # further lines
        raise ValueError(text)
    return content["value"]
