"""The schemas of ``docs/schemas``, for the tests that hold real documents to them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
# Objects whose keys are not fixed: counts and settings by name, machines, and what is shown as it was read.
MAPS = {
    "settings", "ops", "ops_before", "ops_after", "ops_rewritten", "seconds", "version", "versions", "tool_versions",
    "environment", "weight_bytes_left", "quantized", "left", "options", "multiple_of", "variants", "architecture",
    "cost_by_device", "latencies", "stale_latencies", "report", "facts",
}  # fmt: skip
# Keys that only the input of a package for images has, and only the report of a model with a head.
OPTIONAL = {"color", "mean", "std", "head"}
WRONG: list[list[str]] = [[]]  # what stands nowhere in a document


def schemas() -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def validator(name: str) -> Draft202012Validator:
    """Returns what holds a document to a schema, and the schema to the standard."""
    found = schemas()
    Draft202012Validator.check_schema(found[name])
    resources = ((f"{key}.json", Resource.from_contents(schema)) for key, schema in found.items())
    registry: Registry[Any] = Registry().with_resources(resources)
    return Draft202012Validator({"$ref": f"{name}.json"}, registry=registry)


def read(name: str, text: str) -> Any:
    """Returns a command's output, which must have its form."""
    document = json.loads(text)
    validator(name).validate(document)
    return document


def check(name: str, text: str) -> Any:
    """Reads an output, and checks that nothing in it could be missing, added, or of another type."""
    document, valid = read(name, text), validator(name)
    short = _shorten(document)
    valid.validate(short)
    for what, broken in spoiled(short):
        assert not valid.is_valid(broken), f"{name}: accepted with {what}"
    return document


def _shorten(value: Any) -> Any:
    """Returns a document with the first item only of every list of objects, for all have the same form."""
    if isinstance(value, dict):
        return {key: _shorten(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shorten(item) for item in (value[:1] if value and isinstance(value[0], dict) else value)]
    return value


def spoiled(document: Any) -> Iterator[tuple[str, Any]]:
    """Yields copies of a document with one fault each."""
    text = json.dumps(document)
    for *above, key in _paths(document, ()):
        for what in ("another type", "a key less", "a key more"):
            copy = json.loads(text)
            parent = copy
            for step in above:
                parent = parent[step]
            fixed = isinstance(parent, dict) and not set(above[-2:]) & MAPS
            if what == "another type":
                parent[key] = WRONG
            elif what == "a key less" and fixed and key not in OPTIONAL:
                del parent[key]
            elif what == "a key more" and fixed:
                parent["another"] = None
            else:
                continue
            yield f"{what} at {'.'.join(map(str, (*above, key)))}", copy


def _paths(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Yields the way to every value but those in objects without fixed keys."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value[:1]))
    for key, item in items:
        here = (*path, key)
        yield here
        if key not in MAPS:
            yield from _paths(item, here)
