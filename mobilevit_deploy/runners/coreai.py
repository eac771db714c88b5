"""Apple's own compiler and runtime for Core AI, on the CPU: on any machine that its package installs on."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.coreai.child import Child, ChildError
from mobilevit_deploy.coreai.nodes import read_nodes
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.runners import Array, Observed, Opener, Reading
from mobilevit_deploy.targets.coreai import describe, read_metadata


class CoreAIRunner:
    """An ``.aimodel`` in a process with Core AI's runtime, which may abort there."""

    name = "coreai"

    def __init__(self, path: Path, reading: Reading = "rounded", outputs: Sequence[int] | None = None) -> None:
        """Lowers and loads an asset.

        Args:
            path: the folder.
            reading: of half precision.
            outputs: places, in the list of operations, of what is returned in place of the outputs.

        Raises:
            ArtifactError: Core AI refuses it.
        """
        self.settings: Mapping[str, str] = {"compute_units": "CPU"}
        if reading != "rounded":
            self.settings = {**self.settings, "rounding": "weights only"}
        self._child = Child()
        request: dict[str, Any] = {"path": str(path.resolve()), "reading": reading}
        if outputs is not None:
            request["outputs"] = list(outputs)
        try:
            self._child.ask("open", **request)
        except ChildError as error:
            self._child.close()
            raise ArtifactError(
                f"Core AI does not load {path.name}: {error}", "export it again; a file from elsewhere may be damaged"
            ) from error

    def run(self, batch: Array) -> Sequence[Array]:
        """Returns the outputs; raises ArtifactError when the runtime fails, aborts or does not come to an end."""
        try:
            files = self._child.ask("run", path=self._child.store(batch))["files"]
        except ChildError as error:
            raise ArtifactError(f"Core AI does not run the model: {error}") from error
        return [np.load(file) for file in files]

    def close(self) -> None:
        """Ends the process."""
        self._child.close()


def open_all(path: Path, function: str | None = None) -> Sequence[Opener]:
    """Returns what opens an asset in Apple's runtime."""
    return [partial(CoreAIRunner, path)]


def open_unrounded(path: Path, function: str | None, reading: Reading, like: Path | None) -> Opener:
    """Returns what opens an asset so that it is computed in float32."""
    return partial(CoreAIRunner, path, reading)


def observe(path: Path, function: str | None, batch: Array, reading: Reading, like: Path | None) -> list[Observed]:
    """Returns what the asset computes for every node of the program that it was converted from; raises ArtifactError.

    A copy of the asset's program returns the values themselves, and Apple's runtime runs it. The last of a node's
    operations has the node's value.
    """
    parts = read_nodes(read_metadata(path))
    operations = list_operations(path)
    last: dict[str, int] = {}
    for i, item in enumerate(operations):
        if item["node"] in parts and len(item["outputs"]) == 1:
            last[parts[item["node"]]] = i
    places = sorted(last.values())
    names = {i: name for name, i in last.items()}
    ends = [output.name for output in describe(path).outputs]
    runner = CoreAIRunner(path, reading, places)
    values = runner.run(batch)
    runner.close()
    runner = CoreAIRunner(path, reading, None)
    final = runner.run(batch)
    runner.close()
    inner = [Observed(names[i], operations[i]["kind"], value) for i, value in zip(places, values, strict=True)]
    return inner + [Observed(name, "output", value) for name, value in zip(ends, final, strict=True)]


def list_operations(path: Path) -> list[dict[str, Any]]:
    """Returns the operations of an asset as ``coreai.program`` lists them; raises ArtifactError."""
    child = Child()
    try:
        operations: list[dict[str, Any]] = child.ask("operations", path=str(path.resolve()))["operations"]
        return operations
    except ChildError as error:
        raise ArtifactError(f"Core AI does not read {path.name}: {error}", "export or copy it again") from error
    finally:
        child.close()


def takes_batch(path: Path, batch: int) -> bool:
    """Tells whether one run of an asset takes so many images; raises ArtifactError."""
    return describe(path).entries[0].shape[0] == batch
