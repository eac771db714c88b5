"""What LiteRT's delegates do not take: a table, ``delegates.toml``, of what each takes by its own source."""

import tomllib
from collections.abc import Mapping
from functools import partial
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mobilevit_deploy.targets.litert.tflite.operators import builtin_names
from mobilevit_deploy.targets.operations import Operation
from mobilevit_deploy.targets.rules import Rule, largest_rank

TABLE = Path(__file__).with_name("delegates.toml")


class Delegate(BaseModel):
    """What a delegate takes; ``delegates.toml`` explains each field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    title: str
    source: str
    takes: frozenset[str]
    refuses: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    also: Mapping[str, frozenset[str]] = {}
    floats: frozenset[str] = frozenset()
    constants: Mapping[str, tuple[int, ...]] = {}
    symmetric: Mapping[str, int] = {}
    ranks: Mapping[str, tuple[int, ...]] = {}
    largest_rank: int | None = None

    def dislike(self, operation: Operation) -> str | None:
        """Returns why it leaves an operation of a ``.tflite`` file to another; None where it takes it."""
        kind = operation.kind
        if kind in self.refuses or (kind not in self.takes and (":" in kind or not self.refuses)):
            return "no such operator"
        return self._type(operation) or self._values(operation) or self._rank(operation)

    def _type(self, operation: Operation) -> str | None:
        kind = operation.kind
        for tensor in (*operation.inputs[:1], *operation.outputs):
            taken = not self.types or tensor.dtype in self.types or kind in self.also.get(tensor.dtype, ())
            if not taken or (kind in self.floats and not tensor.dtype.startswith("float")):
                return f"{tensor.dtype} values"
        return None

    def _values(self, operation: Operation) -> str | None:
        inputs = dict(enumerate(operation.inputs))
        if any(place in inputs and not inputs[place].constant for place in self.constants.get(operation.kind, ())):
            return "a weight that is computed"
        second = inputs.get(self.symmetric.get(operation.kind, len(inputs)))
        return "a second factor whose zero point is not 0" if second is not None and second.zero_point else None

    def _rank(self, operation: Operation) -> str | None:
        rank = largest_rank(operation)
        if self.largest_rank is not None and rank > self.largest_rank:
            return f"a tensor of {rank} axes"
        first = len(operation.inputs[0].shape) if operation.inputs else 0
        return f"{first} axes" if first not in self.ranks.get(operation.kind, (first,)) else None


def delegates() -> dict[str, Delegate]:
    """Returns the table, by the delegates' names."""
    entries = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {name: Delegate(**entry) for name, entry in entries.items()}


def _check(group: tuple[Delegate, ...], operation: Operation) -> str | None:
    """Returns which of a rule's delegates do not take an operation, and why; None for one of another format."""
    if operation.kind.partition(":")[0] not in builtin_names():
        return None
    found = [f"{item.title}: {reason}" for item in group if (reason := item.dislike(operation))]
    return "; ".join(found) or None


def _rules() -> tuple[Rule, ...]:
    groups = {name: tuple(group) for name, group in groupby(delegates().values(), key=lambda item: item.rule)}
    return tuple(
        Rule(name, "; ".join(item.source for item in group), partial(_check, group)) for name, group in groups.items()
    )


RULES: tuple[Rule, ...] = _rules()
