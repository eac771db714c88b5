"""What every card is, and the cards of devices and of published latencies; ``catalog.py`` reads them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ComputeUnits = Literal["all", "cpu", "cpu+gpu", "cpu+ne"]


class Card(BaseModel):
    """Base of everything that comes from TOML: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PublishedLatency(Card):
    """A latency that someone published, in milliseconds; ``os`` is None where the source does not say."""

    device: str
    os: str | None = None
    backend: str
    input_size: int
    batch: int
    latency_ms: float = Field(gt=0)
    source: str


class Device(Card):
    """One file of ``devices/``: a machine that latency is measured on.

    ``identifiers`` are Apple's product types that the profile is for, ``os_floor`` the oldest iOS that runs on them.
    """

    name: str
    title: str
    kind: Literal["host", "iphone"]
    targets: tuple[str, ...]
    backends: tuple[str, ...]
    chip: str | None = None
    os_floor: str | None = None
    compute_units: tuple[ComputeUnits, ...] = ()
    identifiers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _iphone_is_described(self) -> "Device":
        if self.kind == "iphone" and not (self.chip and self.os_floor and self.identifiers):
            raise ValueError("an iPhone's profile has chip, os_floor and identifiers")
        return self
