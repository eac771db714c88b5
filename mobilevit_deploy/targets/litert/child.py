"""The process that LiteRT's native code runs in: it logs as it likes, and ends its process on a broken file."""

import re
from collections.abc import Sequence

import numpy as np

from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.system.child_process import CHILD
from mobilevit_deploy.targets.native_child import ChildError, NativeChild

__all__ = ["Child", "ChildError"]

WORKER = (*CHILD, "mobilevit_deploy.targets.litert.worker")
LONGEST_REQUEST_S = 1200  # lightvit_base converts in a tenth of it
# What LiteRT and its libraries log about themselves, such as "I0000 00:00:1795882901.425237 4683 export.cc:4410] ...".
LOGGED = re.compile(r"^(WARNING: All log messages|[IW]\d{4} [\d:.]+|INFO: |WARNING: |\(\d\d:\d\d\) )")


class Child(NativeChild):
    """A process with LiteRT in it."""

    def __init__(self) -> None:
        super().__init__(WORKER, "litert", LONGEST_REQUEST_S, {"COLUMNS": "200"})

    def load(self, names: Sequence[str]) -> list[Array]:
        """Returns arrays that the child wrote."""
        return [np.load(name, allow_pickle=False) for name in names]

    def last_words(self, log: Sequence[str]) -> str:
        """Returns what it logged last that tells something."""
        telling = [line.strip() for line in log if line.strip() and not LOGGED.match(line.strip())]
        return telling[-1][:300] if telling else ""
