"""Where a model's weights came from, as reports and files say it."""

from dataclasses import dataclass

VOUCHED = " (the user's word)"  # behind where weights are from that mvd did not load


@dataclass(frozen=True)
class WeightsOrigin:
    """Where the weights came from.

    ``trained`` only when a checkpoint was given, a library gave its own, or the user vouched for those that the model
    loads by itself. ``library`` tells which ones of a library they are, and ``vouched`` is what the user said of them;
    then ``sha256`` is of the state dict, and ``path`` of the library's folder, if any.
    """

    trained: bool
    path: str | None = None
    sha256: str | None = None
    key: str | None = None
    not_loaded: tuple[str, ...] = ()
    library: str | None = None
    not_read: tuple[str, ...] = ()
    prefix: str = ""
    ignore: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    vouched: str | None = None

    @property
    def place(self) -> str:
        """Returns where trained weights are from, in words."""
        return f"{self.vouched}{VOUCHED}" if self.vouched else self.library or str(self.path)
