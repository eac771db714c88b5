"""Wrong values of a file: said in the file's words, at the place where they stand."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mobilevit_deploy.catalog.recipe import Recipe
from mobilevit_deploy.checks.plan import CheckFile
from mobilevit_deploy.sweep.plan import SweepFile
from mobilevit_deploy.system.wrong_values import wrong_values


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1)
    weight: float = Field(default=1.0, gt=0, le=2)


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    items: tuple[str | Item, ...] = Field(default=(), max_length=3)
    table: Item | None = None
    amounts: Mapping[str, float] = {}
    count: int = 0

    @model_validator(mode="after")
    def _one_of_both(self) -> "Whole":
        if self.items and self.table:
            raise ValueError("items and table: give one of them")
        return self


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"tabel": {}}, ["tabel: there is no such key; did you mean table?"]),
        ({"zzz": 1}, ["zzz: there is no such key; there are items, table, amounts, count"]),
        ({"table": {"nmae": "a"}}, ["table.nmae: there is no such key; did you mean name?", "table.name: is missing"]),
        ({"items": "a"}, ["items: must be a list"]),
        ({"items": ["a", {"name": "b", "weigth": 1}]}, ["items[1].weigth: there is no such key; did you mean weight?",
                                                        "items[1]: must be a text, in quotes"]),
        ({"items": [[]]}, ["items[0]: must be a text, in quotes", "items[0]: must be a table of keys and values"]),
        ({"items": list("abcd")}, ["items: has more than 3 entries"]),
        ({"table": {"name": ""}}, ["table.name: is empty"]),
        ({"table": {"name": "a", "weight": 0}}, ["table.weight: must be more than 0"]),
        ({"table": {"name": "a", "weight": 2.5}}, ["table.weight: must be at most 2"]),
        ({"amounts": {"int": 1, "a b": "much"}}, ["amounts.a b: must be a number"]),
        ({"count": 1.5}, ["count: must be a whole number"]),
        ([], ["the file: must be a table of keys and values"]),
        ({"items": ["a"], "table": {"name": "a"}}, ["the file: items and table: give one of them"]),
    ],
)  # fmt: skip
def test_the_place_and_what_is_wrong(content: Any, told: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(content)
    assert wrong_values(caught.value, Whole) == told


@pytest.mark.parametrize("kind", [SweepFile, CheckFile, Recipe])
@pytest.mark.parametrize("content", [[], 3, "", {"": {}}, {"matrix": 1, "check": 1, "recipe": []}])
def test_every_kind_of_file_is_told_something(kind: type[BaseModel], content: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(content)
    told = wrong_values(caught.value, kind)
    assert told
    assert all(": " in item for item in told)


def test_nothing_of_the_validator_is_left() -> None:
    """The words that pydantic has for Python's kinds are none of a TOML file."""
    content = {"matrix": {"models": [1, {"mdoel": 1}], "targets": 1, "sizes": 3.5}, "retries": "x", "exclude": {}}
    with pytest.raises(ValidationError) as caught:
        SweepFile.model_validate(content)
    told = " ".join(wrong_values(caught.value, SweepFile))
    assert not [word for word in ("tuple", "dictionary", "instance", "constrained", "Input") if word in told]
