"""Runs one ONNX file in ONNX Runtime when it is told to (see ``system/timing_loop.py`` for what it is told).

A process of its own for each artifact: idle sessions of ONNX Runtime in one process keep spinning and slow each other
down (four: 36 ms where one alone takes 13 ms). Its session's threads spin for some milliseconds after a run and sleep
then, so a second process can be timed while this one waits.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mobilevit_deploy.system.timing_loop import peak_rss_mb, pinned_to, serve


class _Session:
    """A session, and the input that it is run on."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        import onnxruntime

        self._onnxruntime, self._request = onnxruntime, request
        self._session, self._load_ms = self._load()
        self._check_provider()
        shape, batch = request["input_shape"], request["batch"]
        self._feed = {item.name: _random(item, shape or _shape(item, batch)) for item in self._session.get_inputs()}

    def _load(self, more_entries: Mapping[str, str] | None = None) -> tuple[Any, float]:
        """Returns a new session, and the milliseconds that it took to make."""
        request = self._request
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = request["threads"]
        options.log_severity_level = 4 if more_entries else 3  # errors only
        for key, value in {**request["session_entries"], **(more_entries or {})}.items():
            options.add_session_config_entry(key, value)
        provider = (request["provider"], dict(request["provider_options"]))
        start = time.perf_counter()
        session = self._onnxruntime.InferenceSession(request["path"], options, providers=[provider])
        return session, (time.perf_counter() - start) * 1e3

    def _check_provider(self) -> None:
        """Ends the process when ONNX Runtime took another provider than the one asked for, as it silently does."""
        asked, given = self._request["provider"], self._session.get_providers()[0]
        if asked != given:
            sys.exit(f"{asked} does not work here: ONNX Runtime took {given} in its place")

    def opened(self) -> dict[str, Any]:
        shapes = [list(value.shape) for value in self._feed.values()]
        return {
            "load_ms": self._load_ms,
            "provider": self._request["provider"],
            "input_shape": shapes[0] if shapes else [],
            "pinned_to": pinned_to(),
        }

    def run(self) -> None:
        self._session.run(None, self._feed)

    def finish(self) -> dict[str, Any]:
        """Returns the peak memory, then the time of a second load and whether a provider got the whole graph."""
        peak = peak_rss_mb()
        self._session = None
        _, second_load_ms = self._load()
        answer = {"peak_rss_mb": peak, "second_load_ms": second_load_ms, "whole_graph": True}
        if self._request["provider"] != "CPUExecutionProvider":
            try:
                self._load({"session.disable_cpu_ep_fallback": "1"})
            except Exception:  # its type is the general one of the binding
                answer["whole_graph"] = False
        return answer


def _shape(item: Any, batch: int | None) -> list[int]:
    """Returns an item's shape; a free first dimension is the batch, 1 if none was asked for."""
    if any(isinstance(size, int) and size < 0 for size in item.shape):
        sys.exit(f"its input {item.name} has the shape {item.shape}")
    free = [str(size) for size in item.shape[1:] if not isinstance(size, int)]
    if free:
        sys.exit(f"the size of its input {item.name} is not fixed ({', '.join(free)}): fix it in the file")
    return [size if isinstance(size, int) else batch or 1 for size in item.shape]


def _random(item: Any, shape: Sequence[int]) -> np.ndarray[Any, Any]:
    """Returns an input of an item's type."""
    types = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
    generator = np.random.default_rng(0)
    if item.type in types:
        return generator.standard_normal(shape).astype(types[item.type])
    zeros = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_}
    if item.type not in zeros:
        sys.exit(f"its input {item.name} is a {item.type}, for which there are no test values")
    return np.zeros(shape, zeros[item.type])


if __name__ == "__main__":
    serve(_Session)
