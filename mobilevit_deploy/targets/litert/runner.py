"""LiteRT's own runtime on the CPU, in a process of its own: a broken file ends the process that loads it."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.errors import ArtifactError, RefusedError
from mobilevit_deploy.runners.base import Array, Observed, Opener, Reading
from mobilevit_deploy.targets.litert.child import Child, ChildError
from mobilevit_deploy.targets.litert.contents import metadata_of
from mobilevit_deploy.targets.litert.convert import describe
from mobilevit_deploy.targets.litert.nodes import Held, read_nodes
from mobilevit_deploy.targets.litert.tflite.program import Program, read_program

TO_CHANNELS_FIRST = (0, 3, 1, 2)


class LiteRTRunner:
    """A ``.tflite`` file in LiteRT's interpreter, with XNNPACK or without it."""

    name = "litert"

    def __init__(
        self,
        path: Path,
        *,
        delegate: bool = True,
        keep: bool = False,
        reading: Reading = "rounded",
        like: Path | None = None,
    ) -> None:
        """Opens the file.

        Args:
            path: of the file.
            delegate: whether XNNPACK gets what it takes; else LiteRT's own kernels compute all.
            keep: whether values on the way are asked for.
            reading: of half precision and int8.
            like: the file that says which weights of a float32 one are rounded.

        Raises:
            ArtifactError: it is damaged, or the runtime refuses it or ends with it.
        """
        self.settings: Mapping[str, str] = {"delegate": "XNNPACK" if delegate else "none"}
        if reading != "rounded":
            self.settings = {**self.settings, "rounding": "weights only"}
        self._outputs = [output.shape for output in describe(path).outputs]  # read before anything native sees it
        self._path = path.resolve()
        self._child = Child()
        small = str(like.resolve()) if like else None
        self._ask("open", path=str(self._path), delegate=delegate, keep=keep, reading=reading, like=small)

    def run(self, batch: Array) -> Sequence[Array]:
        """Returns the outputs; raises ArtifactError when the file cannot be run, or does not come to an end."""
        outputs = self._child.load(self._ask("run", path=self._child.store(batch))["files"])
        if [output.shape for output in outputs] != self._outputs:
            raise ArtifactError(f"{self._path.name} returns other shapes than it says", "export or copy it again")
        return outputs

    def observe(self, batch: Array) -> list[Observed]:
        """Returns what the file computes for every node of the program that it was converted from."""
        program = read_program(self._path)
        graph, places = program.subgraphs[0], _places(program, self._path.name)
        request = {"path": self._child.store(batch), "tensors": list(places)}
        values = self._child.load(self._ask("values", **request)["files"])
        kinds = {number: item.kind for item in graph.operators for number in item.outputs}
        return [
            Observed(held.node, kinds.get(number, "output"), _first(value) if held.channels_last else value)
            for (number, held), value in zip(places.items(), values, strict=True)
        ]

    def _ask(self, command: str, **request: Any) -> dict[str, Any]:
        try:
            return self._child.ask(command, **request)
        except ChildError as error:
            doing = "load" if command == "open" else "run"
            self._child.close()
            raise (ArtifactError if error.late else RefusedError)(
                f"LiteRT does not {doing} {self._path.name}: {error}",
                "export it again; a file from elsewhere may be damaged",
            ) from error


def _places(program: Program, name: str) -> dict[int, Held]:
    """Returns the node by the number of the tensor that holds its value, the outputs by their names, in order."""
    graph, known = program.subgraphs[0], read_nodes(metadata_of(program, name))
    outputs = {number: key for signature in program.signatures for key, number in signature.outputs.items()}
    found: dict[int, Held] = {}
    for operator in graph.operators:
        for number in operator.outputs:
            if number in outputs:
                found[number] = Held(outputs[number], channels_last=False)
            elif graph.values[number].name in known:
                found[number] = known[graph.values[number].name]
    return found


def _first(value: Array) -> Array:
    return np.ascontiguousarray(value.transpose(TO_CHANNELS_FIRST))


def open_all(path: Path, function: str | None = None) -> Sequence[Opener]:
    """Returns what opens a file in LiteRT's runtime, with XNNPACK, as apps get it, and without."""
    return [partial(LiteRTRunner, path), partial(LiteRTRunner, path, delegate=False)]


def open_unrounded(path: Path, function: str | None, reading: Reading, like: Path | None) -> Opener:
    """Returns what opens a file so that it is computed in float32."""
    return partial(LiteRTRunner, path, reading=reading, like=like)


def observe(path: Path, function: str | None, batch: Array, reading: Reading, like: Path | None) -> list[Observed]:
    """Returns what a file computes for every node of its program; raises ArtifactError."""
    return LiteRTRunner(path, delegate=False, keep=True, reading=reading, like=like).observe(batch)


def takes_batch(path: Path, batch: int) -> bool:
    """Tells whether a batch can be run; raises ArtifactError for a damaged file."""
    return describe(path).entries[0].shape[0] == batch
