"""What coremltools does beside its work, and is kept from: warnings, progress bars, imports, most of its checks."""

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

# What coremltools' import loads beside PyTorch where it is installed, for graphs of its dialects and models of its
# converters. ExecuTorch takes 2.5 s more, torchao and scikit-learn 1.9 s of 3.0 s without it.
UNUSED = ("executorch", "torchao", "sklearn", "xgboost", "tensorflow")


@contextlib.contextmanager
def quiet_coreml() -> Iterator[None]:
    """Keeps coremltools' import warnings and progress bars from the user: off macOS it logs eight missing proxies."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), _without_other_frameworks():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def _without_other_frameworks() -> Iterator[None]:
    """Hides from coremltools' own import what it would load for models that it is never given here."""
    hidden = [name for name in UNUSED if name not in sys.modules and "coremltools" not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how the import system marks it
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


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
