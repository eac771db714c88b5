"""Loads and runs one file in the child, in LiteRT's interpreter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from mobilevit_deploy.runners.base import Reading
from mobilevit_deploy.targets.litert.exact import with_rounded_weights, without_rounding


class Session:
    """A file in the interpreter, on one thread."""

    def __init__(
        self, path: str, *, delegate: bool, keep: bool = False, reading: Reading = "rounded", like: str | None = None
    ) -> None:
        """Loads it; raises whatever LiteRT raises.

        Args:
            path: of the file.
            delegate: whether XNNPACK gets what it takes; else LiteRT's own kernels compute all.
            keep: whether the values on the way can be read after a run.
            reading: of the file, see ``runners.base``.
            like: with "rounded constants", the file that says which weights are rounded.
        """
        content = None
        if reading == "unrounded":
            content = without_rounding(Path(path).read_bytes())
        elif like is not None:
            content = with_rounded_weights(Path(path).read_bytes(), Path(like).read_bytes())
        resolver = OpResolverType.BUILTIN if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._model = Interpreter(
            None if content else path,
            content,
            num_threads=1,
            experimental_op_resolver_type=resolver,
            experimental_preserve_all_tensors=keep,
        )
        self._model.allocate_tensors()

    def run(self, path: str, folder: Path) -> list[str]:
        """Runs it on a stored array; returns the files of the outputs, in order."""
        self._invoke(path)
        return self._store([item["index"] for item in self._model.get_output_details()], folder, "output")

    def values(self, path: str, tensors: Sequence[int], folder: Path) -> list[str]:
        """Runs it on a stored array; returns the files of what some of its tensors hold, by their numbers."""
        self._invoke(path)
        return self._store(tensors, folder, "value")

    def _invoke(self, path: str) -> None:
        batch = np.load(path, allow_pickle=False)
        for name, details in self._inputs(batch.dtype.names).items():
            value = batch if batch.dtype.names is None else np.array(batch[0][name])
            self._model.set_tensor(details["index"], _stored(value, details))
        self._model.invoke()

    def _inputs(self, names: Sequence[str] | None) -> dict[str, Any]:
        """Returns what is known of each input, by the names of a record's fields where there are some."""
        if names is None:
            (details,) = self._model.get_input_details()
            return {"": details}
        known = self._model.get_signature_runner().get_input_details()
        return {name: known[name] for name in names}

    def _store(self, numbers: Sequence[int], folder: Path, name: str) -> list[str]:
        known = {item["index"]: item for item in self._model.get_tensor_details()}
        files = []
        for i, number in enumerate(numbers):
            files.append(str(folder / f"{name}{i}.npy"))
            np.save(files[-1], _real(self._model.get_tensor(number), known[number]))
        return files


def _stored(value: Any, details: Any) -> Any:
    """Returns real numbers as an input takes them: of int8 with a scale, the nearest of its steps."""
    scales, points = (details["quantization_parameters"][key] for key in ("scales", "zero_points"))
    if len(scales) == 1 and details["dtype"] == np.int8:
        value = np.clip(np.rint(value / scales[0]) + points[0], -128, 127)
    return value.astype(details["dtype"])


def _real(value: Any, details: Any) -> Any:
    """Returns the real numbers that a tensor's integers stand for; other tensors as they are."""
    scales, points = (np.asarray(details["quantization_parameters"][key]) for key in ("scales", "zero_points"))
    if not scales.size or value.dtype.kind not in "iu":
        return value
    axis = details["quantization_parameters"]["quantized_dimension"]
    shape = [-1 if i == axis else 1 for i in range(value.ndim)] if scales.size > 1 else [1] * value.ndim
    return ((value.astype(np.float64) - points.reshape(shape)) * scales.reshape(shape)).astype(np.float32)
