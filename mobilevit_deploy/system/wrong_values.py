"""What is wrong with the values of a file that a user wrote, in the words of the file and not of its reader."""

import re
import typing
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

UNKNOWN = "extra_forbidden"
# What pydantic puts between names: which kind of a union it tried, and that a key is meant. A file has none of these.
KINDS_OF_A_UNION = re.compile(r"^(constrained|function|is-instance)-|^[a-z-]+\[.*\]$|^(str|int|float|bool|none|path)$")
VALUE_ERROR = "Value error, "  # before the message of a validator of ours
WORDS = {  # of pydantic's types of errors; what has no entry is told as pydantic says it
    "missing": "is missing",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a table of keys and values",
    "dict_type": "must be a table of keys and values",
    "mapping_type": "must be a table of keys and values",
    "string_type": "must be a text, in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "path_type": "must be a path, in quotes",
    "string_too_short": "is empty",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "too_long": "has more than {max_length} entries",
    "string_too_long": "is longer than {max_length} characters",
}


def wrong_values(error: ValidationError, kind: type[BaseModel]) -> list[str]:
    """Returns what is wrong and where, each once; keys that there are not come first, for they are behind the rest.

    Args:
        error: that ``kind`` raised.
        kind: what the file should hold.
    """
    problems: list[Any] = error.errors(include_url=False, include_input=False)
    problems.sort(key=lambda item: item["type"] != UNKNOWN)
    return list(
        dict.fromkeys(_told(item["type"], item["loc"], item["msg"], item.get("ctx", {}), kind) for item in problems)
    )


def _told(type_: str, loc: tuple[str | int, ...], message: str, context: dict[str, Any], kind: type[BaseModel]) -> str:
    names, holder = _walk(loc, kind)
    where = "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in names).removeprefix(".")
    if type_ == UNKNOWN:
        near = get_close_matches(str(loc[-1]), holder.model_fields, n=1)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(holder.model_fields)}"
        return f"{where}: there is no such key; {known}"
    if type_ == "too_short":
        return f"{where}: is empty" if context.get("min_length") == 1 else f"{where}: {message}"
    words = WORDS.get(type_)
    return f"{where or 'the file'}: {words.format(**context) if words else message.removeprefix(VALUE_ERROR)}"


def _walk(loc: tuple[str | int, ...], kind: type[BaseModel]) -> tuple[list[str | int], type[BaseModel]]:
    """Returns the names that lead to a place in the file, and the model that the last is a key of."""
    names: list[str | int] = []
    holder, inside = kind, [kind]  # inside: what the value at this place may be
    for item in loc:
        if chosen := [model for model in inside if model.__name__ == item]:
            holder, inside = chosen[0], chosen
            continue
        if isinstance(item, str) and KINDS_OF_A_UNION.search(item):
            continue
        names.append(item)
        if isinstance(item, str) and inside:
            holder = next((model for model in inside if item in model.model_fields), inside[0])
            field = holder.model_fields.get(item)
            inside = list(_models(field.annotation)) if field else []
    return names, holder


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yields the models that an annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)
