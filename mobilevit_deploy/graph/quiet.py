"""What PyTorch prints and logs of its own while it traces and converts."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

QUIET = ("torch.onnx", "torch.export", "torch._export", "torch.fx", "torch._subclasses")  # loggers


@contextmanager
def quiet_torch() -> Iterator[None]:
    """Keeps torch.export's and the ONNX exporter's own warnings from the user, who can do nothing about them.

    What they print to stderr goes the same way: where a trace fails, torch.export prints the graph up to there.
    """
    loggers = [logging.getLogger(name) for name in QUIET]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)  # an error is raised as well
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
