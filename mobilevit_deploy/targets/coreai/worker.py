"""Answers what is asked of Core AI, a JSON request and an answer a line, until its standard input ends.

A process of its own, because Apple's compiler calls LLVM's ``report_fatal_error`` on a graph that it does not know:
that is ``abort()``, which no Python code survives. The current folder of temporary files is the parent's.
"""

import asyncio
import ctypes
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from mobilevit_deploy.system.request_loop import answer_requests

ENTRY = "main"
_ASK, _NO_RANDOM_ADDRESSES = 0xFFFFFFFF, 0x0040000  # of Linux's personality(2)


class Server:
    """The commands, by name; arguments are a request's entries. At most one model is open."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._open = AsyncExitStack()
        self._function: Any = None
        self._folder = Path(tempfile.gettempdir())

    def convert(self, **request: Any) -> dict[str, Any]:
        """Converts a saved program, see ``coreai.convert``, and returns the operations of what it wrote."""
        from mobilevit_deploy.targets.coreai.lower import convert

        convert(stage=self._folder / "stage", **request)
        return self.operations(request["path"])

    def lowerings(self) -> dict[str, Any]:
        """Returns which calls of ATen the converter has a form for, and which it takes apart before."""
        from mobilevit_deploy.targets.coreai.lower import lowerings

        return lowerings()

    def describe(self, path: str) -> dict[str, Any]:
        """Returns names, shapes and types of what goes in and out, and which types are computed with."""
        from mobilevit_deploy.targets.coreai.program import describe

        return describe(path)

    def operations(self, path: str) -> dict[str, Any]:
        """Returns the operations of the program."""
        from mobilevit_deploy.targets.coreai.program import operations

        return {"operations": operations(path)}

    def constants(self, path: str) -> dict[str, Any]:
        """Returns the constants of the program that are no whole numbers."""
        from mobilevit_deploy.targets.coreai.program import constants

        return {"constants": constants(path)}

    def open(
        self, path: str, reading: str = "rounded", values: Sequence[int] = (), like: str | None = None
    ) -> dict[str, Any]:
        """Lowers and loads an asset, read as another one or returning more values where that is asked."""
        from mobilevit_deploy.targets.coreai.program import change, load

        asset = load(path)
        if reading != "rounded" or values:
            asset = change(asset, self._folder / "changed.aimodel", reading, list(values), like)
        self._load(asset)
        return {}

    def open_cut(self, path: str, last: int) -> dict[str, Any]:
        """Lowers and loads an asset up to one of its operations."""
        from mobilevit_deploy.targets.coreai.program import cut, load

        self._load(cut(load(path), self._folder / "cut.aimodel", last))
        return {}

    def _load(self, asset: Any) -> None:
        model = self._loop.run_until_complete(self._open.enter_async_context(asset.executable()))
        self._function = model.load_function(ENTRY)

    def run(self, path: str) -> dict[str, Any]:
        """Runs the open model on a stored array; the answer names the files of its outputs, in order."""
        import numpy as np
        from coreai.runtime import NDArray

        names = self._function.desc
        feed = {names.input_names[0]: NDArray(np.load(path))}
        found = self._loop.run_until_complete(_call(self._function, feed))
        files = []
        for i, name in enumerate(names.output_names):
            files.append(str(self._folder / f"output{i}.npy"))
            np.save(files[-1], np.asarray(found[name].numpy(), np.float32))
        return {"files": files}


async def _call(function: Any, feed: dict[str, Any]) -> Any:
    return await function(feed)


def main() -> int:
    """Serves."""
    _fix_addresses()
    answer_requests(Server())
    return 0


def _fix_addresses() -> None:
    """Starts this program again without random addresses, on Linux, where the system allows it.

    LLVM's hashes begin with an address, and the converter names large weights after their hash: the same export would
    have other bytes each time.
    """
    if sys.platform != "linux":
        return
    personality = ctypes.CDLL(None).personality
    now = personality(_ASK)
    if now >= 0 and not now & _NO_RANDOM_ADDRESSES:
        personality(now | _NO_RANDOM_ADDRESSES)
        if personality(_ASK) & _NO_RANDOM_ADDRESSES:  # a container may refuse it
            os.execv(sys.executable, sys.orig_argv)


if __name__ == "__main__":
    sys.exit(main())
