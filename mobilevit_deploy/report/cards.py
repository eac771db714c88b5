"""The catalog's cards, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.report.layout import Facts, ResultTable

if TYPE_CHECKING:
    from mobilevit_deploy.catalog.model_card import InputRule, ModelCard


def models_table(cards: Sequence[ModelCard], sources: Sequence[str]) -> RenderableType:
    """Returns the catalog, and what else a MODEL may be."""
    numbers = ("parameters", "MACs")
    table = ResultTable("model", *numbers, "published top-1", "tasks", numbers=numbers)
    for card in cards:
        table.add_row(
            card.name,
            f"{card.variant.parameters / 1e6:.2f} M",
            f"{card.variant.macs / 1e9:.3f} G",
            _published(card, "\n"),
            ", ".join(catalog.tasks_of(card)),
        )
    reconstructions = [card.name for card in cards if card.family.reconstruction]
    lines = [f"{' and '.join(reconstructions)}: reconstruction from the paper, not the authors' code"]
    others = ", ".join(f"{source}:{'FOLDER' if source == 'hf' else 'NAME'}" for source in sources)
    lines = [*(lines if reconstructions else []), f"also: {others}, path/to/file.py:function"]
    return Group(table, *map(Text, lines))


def _published(card: ModelCard, between: str = ", ") -> str:
    return between.join(f"{item.top1_percent:.1f} % @{item.input_size}" for item in card.variant.published) or "none"


def _latencies(card: ModelCard) -> str:
    return "\n".join(
        f"{item.latency_ms} ms on {item.device} ({item.os or 'OS not stated'}), {item.backend}, {item.input_size} px, "
        f"batch {item.batch}; {item.source}"
        for item in card.variant.published_latency
    )


def card_table(card: ModelCard) -> RenderableType:
    """Returns one card, whole."""
    family, variant = card.family, card.variant
    rows: dict[str, str | Text] = {
        "model": card.name,
        "paper": f"{family.title}\n{family.paper}",
        "code": f"{family.repository or 'none published'}{f' @ {family.commit[:12]}' if family.commit else ''}",
        "licence": family.licence or "unknown",
        "reconstruction": "yes: not the authors' code" if family.reconstruction else "no",
        "tasks": ", ".join(catalog.tasks_of(card)),
        "input": f"{family.input.default_size} px; {_sizes(family.input)}",
        "heads": _heads(card),
        "parameters": f"{variant.parameters:,}",
        "MACs at 224 px": f"{variant.macs:,}",
        "published top-1": _published(card),
        "published latency": _latencies(card) or "none",
        "preprocessing": f"{family.preprocessing.description}; {family.preprocessing.interpolation}; "
        f"mean {family.preprocessing.mean}, std {family.preprocessing.std}",
        "architecture": ", ".join(f"{key} {value}" for key, value in variant.architecture.items()),
    }
    return Facts(rows)


def _heads(card: ModelCard) -> str:
    """Returns a line for each head that the model's maps do for."""
    lines = []
    for task in catalog.tasks_of(card):
        head = catalog.heads().get(task)
        if head:
            returns = f"returns {', '.join(head.outputs)}"
            sizes = f"{head.input.default_size} px; {_sizes(head.sizes)}"
            lines.append(
                f"{task}: {head.head}, {head.num_classes} classes by default, {sizes}; {returns}; {head.paper}"
            )
    return "\n".join(lines) or "none"


def _sizes(rule: InputRule) -> str:
    words = {task: f"any size divisible by {n}" if n > 1 else "any size" for task, n in rule.multiple_of.items()}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return "; ".join(f"{task}: {text}" for task, text in words.items())
