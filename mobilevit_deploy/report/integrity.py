"""What the digests in a file say, in a line for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mobilevit_deploy.targets.contents import Integrity


def integrity_line(integrity: Integrity) -> str:
    """Returns whether a file is what its export wrote."""
    if integrity.reason:
        return integrity.reason
    if integrity.status == "intact":
        return f"{integrity.tensors} tensors and the graph are what was exported"
    return "none, as in files of others and of earlier versions of mvd"
