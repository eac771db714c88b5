"""Runs one ``.pte`` file in ExecuTorch when it is told to (see ``system/timing_loop.py`` for what it is told)."""

import time
from collections.abc import Mapping
from typing import Any

from mobilevit_deploy.system.timing_loop import peak_rss_mb, pinned_to, serve


class _Session:
    """A loaded method, and the input that it is run on."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        import torch

        # The binding itself: executorch.runtime imports the whole converter beside it, 3.7 s of CPU time (1.5.1).
        from executorch.extension.pybindings import _C

        self._path, self._binding = request["path"], _C
        torch.set_num_threads(1)  # PyTorch computes nothing here, and its threads are not to wait beside XNNPACK's
        _C._unsafe_reset_threadpool(request["threads"])
        self._program: Any = None
        self._method, self._load_ms = self._load()
        shape = request["input_shape"] or self._method.method_meta().input_tensor_meta(0).sizes()
        self._batch = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(0))

    def _load(self) -> tuple[Any, float]:
        """Returns a method, and the milliseconds that it took to load; XNNPACK packs its weights then."""
        start = time.perf_counter()
        self._program = self._binding._load_program(self._path)  # kept: a method reads its weights from it
        method = self._program.load_method("forward")
        return method, (time.perf_counter() - start) * 1e3

    def opened(self) -> dict[str, Any]:
        return {
            "load_ms": self._load_ms,
            "provider": None,
            "input_shape": list(self._batch.shape),
            "pinned_to": pinned_to(),
        }

    def run(self) -> None:
        self._method([self._batch])

    def finish(self) -> dict[str, Any]:
        """Returns the peak memory, then the time of a second load."""
        peak = peak_rss_mb()
        self._method = self._program = None
        _, second_load_ms = self._load()
        return {"peak_rss_mb": peak, "second_load_ms": second_load_ms, "whole_graph": True}


if __name__ == "__main__":
    serve(_Session)
