"""Model cards as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mobilevit_deploy.catalog import catalog

if TYPE_CHECKING:
    from mobilevit_deploy.catalog.model_card import ModelCard


def card_document(card: ModelCard) -> dict[str, Any]:
    """Returns what `mvd list` says of one model."""
    return {
        "name": card.name,
        "family": card.family.family,
        "parameters": card.variant.parameters,
        "macs": card.variant.macs,
        "published": [item.model_dump() for item in card.variant.published],
        "reconstruction": card.family.reconstruction,
        "tasks": list(catalog.tasks_of(card)),
    }
