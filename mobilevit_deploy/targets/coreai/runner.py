"""Apple's own compiler and runtime for Core AI, on the CPU: on any machine that its package installs on."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.errors import ArtifactError, RefusedError
from mobilevit_deploy.runners.base import IN_FLOAT32, IN_HALF, SUMS, Array, Observed, Opener, Reading
from mobilevit_deploy.targets.coreai.child import Child, ChildError
from mobilevit_deploy.targets.coreai.contents import read_metadata
from mobilevit_deploy.targets.coreai.convert import describe
from mobilevit_deploy.targets.coreai.nodes import read_nodes


class CoreAIRunner:
    """An ``.aimodel`` in a process with Core AI's runtime, which may abort there."""

    name = "coreai"

    def __init__(
        self, path: Path, reading: Reading = "rounded", like: Path | None = None, sums: str | None = None
    ) -> None:
        """Lowers and loads an asset; raises ArtifactError when Core AI refuses it.

        Args:
            path: the folder.
            reading: of half precision.
            like: the half-precision asset that says which weights of a float32 one are rounded.
            sums: in what a half-precision asset is summed, for the settings.
        """
        self.settings: Mapping[str, str] = {"compute_units": "CPU", **({SUMS: sums} if sums else {})}
        if reading in ("unrounded", "rounded constants"):
            self.settings = {**self.settings, "rounding": "weights only"}
        self._path = path.resolve()
        self._request = {"path": str(self._path), "reading": reading, "like": str(like.resolve()) if like else None}
        self._child = Child()
        self._ask("open", **self._request)

    def run(self, batch: Array) -> Sequence[Array]:
        """Returns the outputs; raises ArtifactError when the runtime fails, aborts or does not come to an end."""
        files = self._ask("run", path=self._child.store(batch))["files"]
        return [np.load(file) for file in files]

    def observe(self, batch: Array) -> list[Observed]:
        """Returns what the asset computes for every node of the program that it was converted from.

        A copy of the asset's program returns the values beside the outputs, and Apple's runtime runs it. The last of a
        node's operations has the node's value.
        """
        parts = read_nodes(read_metadata(self._path))
        operations = self._ask("operations", path=str(self._path))["operations"]
        last: dict[str, int] = {}
        for i, item in enumerate(operations):
            if item["node"] in parts and len(item["outputs"]) == 1:
                last[parts[item["node"]]] = i
        places = {i: name for name, i in sorted(last.items(), key=lambda pair: pair[1]) if not operations[i]["result"]}
        names = [name for name, _, _ in self._ask("describe", path=str(self._path))["outputs"]]
        self._ask("open", **self._request, values=list(places))
        values = self.run(batch)
        outputs = [Observed(name, "output", value) for name, value in zip(names, values, strict=False)]
        pairs = zip(places.items(), values[len(names) :], strict=True)
        return [*(Observed(name, operations[i]["kind"], value) for (i, name), value in pairs), *outputs]

    def _ask(self, command: str, **request: Any) -> dict[str, Any]:
        try:
            return self._child.ask(command, **request)
        except ChildError as error:
            doing = "run" if command == "run" else "load"
            self._child.close()
            raise (ArtifactError if error.late else RefusedError)(
                f"Core AI does not {doing} {self._path.name}: {error}",
                "export it again; a file from elsewhere may be damaged",
            ) from error


def open_all(path: Path, function: str | None = None) -> Sequence[Opener]:
    """Returns what opens an asset in Apple's runtime; in half precision also with sums in float32.

    The runtime's kernels for the CPU round every partial sum to half precision: cas_vit_xs at 64 px keeps 24 dB so, and
    35 dB with each value rounded once, as Core ML's do.
    """
    if describe(path).half:
        once = partial(CoreAIRunner, path, "rounded once", sums=IN_FLOAT32)
        return [once, partial(CoreAIRunner, path, "rounded", sums=IN_HALF)]
    return [partial(CoreAIRunner, path)]


def open_unrounded(path: Path, function: str | None, reading: Reading, like: Path | None) -> Opener:
    """Returns what opens an asset so that it is computed in float32."""
    return partial(CoreAIRunner, path, reading, like)


def observe(path: Path, function: str | None, batch: Array, reading: Reading, like: Path | None) -> list[Observed]:
    """Returns what an asset computes for every node of its program; raises ArtifactError."""
    return CoreAIRunner(path, reading, like).observe(batch)


def takes_batch(path: Path, batch: int) -> bool:
    """Tells whether one run of an asset takes so many images; raises ArtifactError."""
    return describe(path).entries[0].shape[0] == batch
