"""What an artifact says of a picture, as the page holds it: drawn, inside of the page, or why it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shown:
    """One artifact's answer.

    Attributes:
        text: the answer in words, or why there is none.
        source: the drawn picture, as a ``data:`` address; None where there is no answer.
        document: the answer as ``mvd predict --json`` has it, without the picture that it is of; empty likewise.
    """

    text: str
    source: str | None = None
    document: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What the artifacts of a folder say of one picture, by their names."""

    image: str
    by_artifact: Mapping[str, Shown]

    @property
    def drawn(self) -> bool:
        """Tells whether any of them has an answer."""
        return any(shown.source for shown in self.by_artifact.values())
