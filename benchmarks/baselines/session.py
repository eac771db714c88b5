"""What the workers of the ways have in common: they load a file, and then compute or are timed."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.system.timing_loop import peak_rss_mb, pinned_to, serve

Predict = Callable[[Array], list[Array]]
Load = Callable[[Path, int], Predict]  # (file, threads)


def main(load: Load) -> None:
    """Is timed, or, with ``FILE IMAGES.npy OUTPUT.npy`` as arguments, writes the first output of the first image."""
    if len(sys.argv) == 1:
        serve(lambda request: _Timed(load, request))
        return
    file, images, output = map(Path, sys.argv[1:])
    np.save(output, load(file, 1)(np.load(images))[0])


class _Timed:
    """A model that is run on noise, from an array to arrays as ONNX Runtime is."""

    def __init__(self, load: Load, request: Mapping[str, Any]) -> None:
        start = time.perf_counter()
        self._predict = load(Path(request["path"]), request["threads"])
        self._load_ms = (time.perf_counter() - start) * 1e3
        self._shape = request["input_shape"]
        self._batch = np.random.default_rng(0).standard_normal(self._shape).astype(np.float32)

    def opened(self) -> dict[str, Any]:
        return {"load_ms": self._load_ms, "input_shape": self._shape, "pinned_to": pinned_to()}

    def run(self) -> None:
        self._predict(self._batch)

    def finish(self) -> dict[str, Any]:
        return {"peak_rss_mb": peak_rss_mb()}
