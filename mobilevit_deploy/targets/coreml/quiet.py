"""What coremltools does beside its work, and is kept from: warnings, progress bars, imports, most of its checks."""

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
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
    """Leaves out what coremltools does after each of its passes, some hundred, and what nothing depends on here.

    - Its checks of the whole program. Those that look at the operations' origins too are made: when the program was
      read, whenever dead code was removed, and twice before it is written; so an inconsistent one is still refused.
    - What it follows of compressed weights through the program, where there are none.
    - The text of the whole program, which it makes for a log that is off.

    An export of cas_vit_xs takes 0.66 of the time, for the same bytes (``benchmarks/coreml_checks.py``).
    """
    from coremltools.converters.mil.mil import Block, Function, Program

    def check_origins(program: Any, check_essential_scope: bool = False) -> None:
        if check_essential_scope:
            originals[Program, "validate"](program, check_essential_scope=True)

    def follow_compressed(block: Any) -> None:
        if any(operation.op_type.startswith("constexpr_") or operation.blocks for operation in block.operations):
            originals[Block, "_propagate_nonreplaceable_vars"](block)

    replaced: dict[tuple[type, str], Callable[..., Any]] = {
        (Program, "validate"): check_origins,
        (Block, "_propagate_nonreplaceable_vars"): follow_compressed,
        (Program, "__str__"): object.__repr__,
        (Function, "__str__"): object.__repr__,
    }
    originals = {(owner, name): getattr(owner, name) for owner, name in replaced}
    for (owner, name), function in replaced.items():
        setattr(owner, name, function)
    try:
        yield
    finally:
        for (owner, name), function in originals.items():
            setattr(owner, name, function)
