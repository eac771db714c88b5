"""The candidates of a search: the default recipe with one or more of the changes that it leaves open."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Literal

from mobilevit_deploy.catalog.model_card import Family
from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.catalog.recipe import Precision, Recipe, RecipeRewrite
from mobilevit_deploy.pipeline.prepare import quantization_rule

REASON = "mvd tune: see [tuned]"
SAID = {  # by kind, and in the order in which a candidate names its changes
    "precision": "{}",
    "leave_out": "without {}",
    "add": "with {}",
    "float32": "{} in float32",
    "int8": "module {} in int8",
}


@dataclass(frozen=True)
class Change:
    """One thing that a candidate has other than the default recipe.

    Attributes:
        kind: of what: the precision, a rewrite, an operation that stays in float32, a module that becomes int8.
        name: of the precision, rewrite, operation, or the pattern of modules.
    """

    kind: Literal["precision", "leave_out", "add", "float32", "int8"]
    name: str

    def __str__(self) -> str:
        return SAID[self.kind].format(self.name)


@dataclass(frozen=True)
class Candidate:
    """The default recipe with changes; without any it is the default recipe."""

    changes: frozenset[Change] = frozenset()

    def __str__(self) -> str:
        return ", ".join(self.names) or "the default recipe"

    @property
    def names(self) -> tuple[str, ...]:
        """Returns the changes in words, always in the same order: by these the candidate is known."""
        return tuple(map(str, sorted(self.changes, key=lambda change: (list(SAID).index(change.kind), change.name))))

    def named(self, kind: str) -> set[str]:
        """Returns the names of all changes of a kind."""
        return {change.name for change in self.changes if change.kind == kind}

    def plus(self, changes: Iterable[Change]) -> "Candidate":
        """Returns the same with more changes."""
        return Candidate(self.changes | frozenset(changes))

    def precision(self, default: Precision) -> str:
        """Returns its precision."""
        return next(iter(self.named("precision")), default)


DEFAULT = Candidate()


def recipe_of(candidate: Candidate, recipe: Recipe, family: Family | None, name: str, base: Precision) -> Recipe:
    """Returns a candidate as a recipe that exports as it is, without further options.

    Args:
        candidate: what is changed.
        recipe: the default one.
        family: of the model, whose rule for int8 may be its own; None for a model without a card.
        name: of the new recipe.
        base: the default precision.
    """
    without, added = candidate.named("leave_out"), sorted(candidate.named("add"))
    kept = tuple(item for item in recipe.rewrites if item.name not in without)
    rule = quantization_rule(recipe, family)
    rules = _rules(_changed_rule(rule, candidate), family) if rule and candidate.changes else {}
    return recipe.model_copy(
        update={
            "name": name,
            "format": None,
            "tuning": None,
            "tuned": None,
            "default_precision": candidate.precision(base),
            "rewrites": (*kept, *(RecipeRewrite(name=item, reason=REASON) for item in added)),
            **rules,
        }
    )


def _changed_rule(rule: QuantizationRule, candidate: Candidate) -> QuantizationRule | None:
    """Returns what becomes int8 in a candidate; None where that is what the default recipe has."""
    float_types, int8_modules = candidate.named("float32"), candidate.named("int8")
    if not (float_types or int8_modules):
        return None
    return rule.model_copy(
        update={
            "op_types": tuple(name for name in rule.op_types if name not in float_types),
            "float_results": tuple(name for name in rule.float_results if name not in float_types),
            "keep_float": tuple(pattern for pattern in rule.keep_float if pattern not in int8_modules),
            "reason": REASON,
        }
    )


def _rules(rule: QuantizationRule | None, family: Family | None) -> Mapping[str, object]:
    """Returns the fields of a recipe by which a rule holds for a model."""
    if rule is None:
        return {}
    return {"family_quantization": {family.family: rule}} if family else {"quantization": rule}


def open_changes(
    recipe: Recipe, rule: QuantizationRule | None, fires: Set[str], quantized: Set[str]
) -> tuple[Change, ...]:
    """Returns the changes that a recipe leaves open and that would change a model's file, but for its precision.

    Args:
        recipe: the default one.
        rule: what becomes int8; None for a file of another precision.
        fires: the rewrites, its own and those that may be added, that find a place in the model.
        quantized: the operations that became int8.
    """
    choices = recipe.tuning
    found = [Change("leave_out", name) for name in (choices.leave_out if choices else ()) if name in fires]
    found += [Change("add", name) for name in (choices.add if choices else ()) if name in fires]
    if rule:
        there = [name for name in rule.op_types if name in quantized]
        found += [Change("float32", name) for name in there if len(there) > 1]
        found += [Change("int8", pattern) for pattern in rule.keep_float]
    return tuple(found)
