"""Runs one ``.tflite`` file in LiteRT when it is told to (see ``system/timing_loop.py`` for what it is told)."""

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from mobilevit_deploy.system.timing_loop import peak_rss_mb, pinned_to, serve

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "GLOG_minloglevel": "3"}


class _Session:
    """A file in the interpreter with XNNPACK, as apps get it, and the input that it is run on."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        os.environ.update(QUIET)
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter, self._path, self._threads = Interpreter, request["path"], request["threads"]
        self._model, self._load_ms = self._load()
        details = self._model.get_input_details()
        batch = np.random.default_rng(0).standard_normal(details[0]["shape"])
        self._shape = [int(size) for size in request["input_shape"] or batch.shape]
        self._model.set_tensor(details[0]["index"], batch.astype(details[0]["dtype"]))
        for more in details[1:]:  # integers may be places in a table: zero is one of every table
            self._model.set_tensor(more["index"], np.zeros(more["shape"], more["dtype"]))

    def _load(self) -> tuple[Any, float]:
        """Returns a model, and the milliseconds that it took to load; XNNPACK packs its weights then."""
        start = time.perf_counter()
        model = self._interpreter(self._path, num_threads=self._threads)
        model.allocate_tensors()
        return model, (time.perf_counter() - start) * 1e3

    def opened(self) -> dict[str, Any]:
        return {"load_ms": self._load_ms, "provider": None, "input_shape": self._shape, "pinned_to": pinned_to()}

    def run(self) -> None:
        self._model.invoke()

    def finish(self) -> dict[str, Any]:
        """Returns the peak memory, then the time of a second load."""
        peak = peak_rss_mb()
        self._model = None
        _, second_load_ms = self._load()
        return {"peak_rss_mb": peak, "second_load_ms": second_load_ms, "whole_graph": True}


if __name__ == "__main__":
    serve(_Session)
