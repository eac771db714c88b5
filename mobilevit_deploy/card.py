"""The base of everything that is read from TOML."""

from pydantic import BaseModel, ConfigDict


class Card(BaseModel):
    """Immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
