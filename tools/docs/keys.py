"""The reference of the TOML files: every key, from the classes that read them."""

import inspect
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mobilevit_deploy.catalog import cards, decision, head_card, model_card, quantization_rule, recipe, tuning
from mobilevit_deploy.checks import plan
from mobilevit_deploy.sweep import plan as sweep_plan
from tools.docs.markdown import attributes, code, table, without_attributes

Part = type[BaseModel]

# Each page: its title, what stands above its tables, and the tables: what a class is called in the file.
PAGES: Mapping[str, tuple[str, str, Mapping[str, Part]]] = {
    "reference/recipes.md": (
        "Recipes",
        "A recipe is a file `export_recipes/<name>.toml`, or one of your own, for `--recipe`: the rewrites, the "
        "precisions and the tolerances of a way to a target, each with its reason. A key that is not known is an "
        "error.",
        {
            "The file": recipe.Recipe,
            "[format]": cards.TargetFormat,
            "[version]": recipe.VersionRange,
            "[[rewrites]]": recipe.RecipeRewrite,
            "[tolerances.PRECISION]": recipe.Tolerance,
            "[[compression.PRECISION]]": recipe.CompressionScheme,
            "[pruning]": recipe.PruningRule,
            "[quantization]": quantization_rule.QuantizationRule,
            "[tuning]": tuning.OpenChoices,
            "[tuned]": tuning.Evidence,
        },
    ),
    "reference/models.md": (
        "Model cards",
        "A card is a file `models/<family>.toml`. `mvd show NAME` prints what it says of one model.",
        {
            "The file": model_card.Family,
            "[input]": model_card.InputRule,
            "[preprocessing]": model_card.Preprocessing,
            "[checkpoint]": model_card.CheckpointRule,
            "[quantization]": quantization_rule.QuantizationRule,
            "[variants.NAME]": model_card.Variant,
            "published": model_card.PublishedAccuracy,
            "published_latency": cards.PublishedLatency,
        },
    ),
    "reference/heads.md": (
        "Heads",
        "A head is a file `models/heads/<head>.toml`: a neck and a head for the maps of any family; "
        "[the page on them](../how-to/heads.md) says what they return.",
        {
            "The file": head_card.HeadCard,
            "[input]": head_card.HeadInput,
            "[preprocessing]": model_card.Preprocessing,
            "[checkpoint]": head_card.HeadCheckpoint,
            "[suppression]": decision.SuppressionRule,
        },
    ),
    "reference/devices.md": (
        "Devices",
        "A device is a file `devices/<name>.toml`. `mvd devices` lists them.",
        {"The file": cards.Device},
    ),
    "reference/checks.md": (
        "Files of checks",
        "`mvd check FILE.toml` reads it; [the page on CI](../how-to/ci.md) has an example. "
        "Paths are relative to the file.",
        {
            "[[check]]": plan.Check,
            "limits": plan.Limits,
            "limits.latency": plan.LatencyLimit,
            "limits.accuracy": plan.AccuracyLimit,
            "limits.neural_engine": plan.NeuralEngineLimit,
            "limits.android": plan.AndroidLimit,
        },
    ),
    "reference/sweeps.md": (
        "Files of sweeps",
        "`mvd sweep FILE.toml` reads it; [the page on sweeps](../how-to/sweep.md) has an example. Paths are relative "
        "to the file. Limits are those of [files of checks](checks.md), and so are options.",
        {
            "The file": sweep_plan.SweepFile,
            "[matrix]": sweep_plan.Matrix,
            "matrix.models": sweep_plan.ModelEntry,
            "[[exclude]]": sweep_plan.Match,
            "[[adjust]]": sweep_plan.Adjustment,
            "[latency]": sweep_plan.LatencyRule,
        },
    ),
}


def page(path: str) -> str:
    """Returns one page of keys."""
    title, introduction, parts = PAGES[path]
    text = f"# {title}\n\n{introduction}\n"
    for name, part in parts.items():
        heading = name if name == "The file" else code(name)
        docstring = inspect.cleandoc(part.__doc__ or "")
        meanings = attributes(docstring)
        rows = [
            (code(key), _kind(field.annotation), _default(field), meanings.get(key, ""))
            for key, field in part.model_fields.items()
        ]
        text += f"\n## {heading}\n\n{without_attributes(docstring)}\n\n"
        text += table(("key", "value", "default", "meaning"), rows)
    return text


def pages() -> dict[str, str]:
    """Returns every page of keys by its path in the documentation."""
    return {path: page(path) for path in PAGES}


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    default = field.default
    if default is None or default is PydanticUndefined or isinstance(default, BaseModel) or default in ((), {}):
        return ""
    return code(str(default).lower() if isinstance(default, bool) else str(default))


def _kind(annotation: Any) -> str:
    """Returns what a value is, in TOML's words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(code(str(choice)) for choice in inner)
    if origin is Annotated:
        return _kind(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(_kind(part) for part in inner if part is not NoneType)
    if origin is tuple:
        return f"list: {_kind(inner[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"table: {_kind(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    names = {bool: "true, false", int: "integer", float: "number", str: "text"}
    return names.get(annotation, "path" if getattr(annotation, "__name__", "") == "Path" else "any")
