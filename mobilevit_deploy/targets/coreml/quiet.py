"""What coremltools does beside its work, and is kept from: warnings, progress bars, an import, most of its checks."""

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def quiet_coreml() -> Iterator[None]:
    """Keeps coremltools' import warnings and progress bars from the user: off macOS it logs eight missing proxies."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), _without_executorch():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def _without_executorch() -> Iterator[None]:
    """Hides ExecuTorch from coremltools' own import, which takes 2.5 s more for graphs that it is never given here."""
    if {"coremltools", "executorch"} & set(sys.modules):
        yield
        return
    sys.modules["executorch"] = None  # type: ignore[assignment]  # so the import system marks what is not there
    try:
        yield
    finally:
        del sys.modules["executorch"]


@contextlib.contextmanager
def fewer_checks() -> Iterator[None]:
    """Leaves out coremltools' checks of the whole program after each of its passes, some hundred.

    The checks that look at the operations' origins too are made: when the program was read, whenever dead code was
    removed, and twice before it is written; so an inconsistent one is still refused. An export of cas_vit_xs takes
    0.75 of the time (``benchmarks/coreml_checks.py``).
    """
    from coremltools.converters.mil.mil import Program

    check = Program.validate

    def check_origins(program: Any, check_essential_scope: bool = False) -> None:
        if check_essential_scope:
            check(program, check_essential_scope=True)

    Program.validate = check_origins
    try:
        yield
    finally:
        Program.validate = check
