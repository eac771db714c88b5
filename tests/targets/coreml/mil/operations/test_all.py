"""Every handler has cases, and every parameter of every handler is one that some case would miss."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil import operations
from mobilevit_deploy.targets.coreml.mil.operations import HANDLERS
from tests.targets.coreml.mil import operations as tests
from tests.targets.coreml.mil.single import Case, check, optional_parameters

MODULES = [importlib.import_module(f"{tests.__name__}.{info.name}") for info in pkgutil.iter_modules(tests.__path__)]
CASES: list[Case] = [case for module in MODULES for case in getattr(module, "CASES", [])]
BY_NEED = {"read_state", "write_state", "classify"}  # need more than one op: test_state.py, test_classify.py

# Parameters that change nothing but how indices are checked, in which order equals stand, or an integer's width.
WITHOUT_EFFECT = {"validate_indices", "sort", "output_dtype", "output_indices_dtype"}
REFUSED = {"l2_pool": {"ceil_mode"}}


def test_every_file_is_imported() -> None:
    files = {path.stem for path in Path(operations.__path__[0]).glob("*.py")}
    assert files - {"__init__", "registry", "padding"} == set(operations.__all__) - {"HANDLERS"}


def test_every_handler_has_cases() -> None:
    assert {case.op for case in CASES} | BY_NEED == HANDLERS.keys()


def test_every_handler_says_what_it_computes() -> None:
    silent = {op for op, handler in HANDLERS.items() if not handler.function.__doc__}
    assert all(op.startswith("reduce_") or HANDLERS[op].function.__name__ == "handler" for op in silent)


def agrees(case: Case) -> bool:
    try:
        check(case)
    except (AssertionError, ArtifactError):
        return False
    return True


@pytest.mark.parametrize("op", sorted(HANDLERS.keys() - BY_NEED))
def test_every_parameter_matters(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that ignored a parameter, or that added a thousandth, would fail one of its cases."""
    handler = HANDLERS[op]
    cases = [case for case in CASES if case.op == op]

    def fails_with(function: Callable[..., Any]) -> bool:
        monkeypatch.setitem(HANDLERS, op, dataclasses.replace(handler, function=function))
        failed = not all(agrees(case) for case in cases)
        monkeypatch.setitem(HANDLERS, op, handler)
        return failed

    for parameter in sorted(optional_parameters(op) - WITHOUT_EFFECT - REFUSED.get(op, set())):
        assert fails_with(
            lambda _ignored=parameter, **given: handler.function(**{k: v for k, v in given.items() if k != _ignored})
        ), f"no case would miss {parameter}"

    def disturbed(**given: Any) -> tuple[Tensor, ...]:
        results: Any = handler.function(**given)
        first, *rest = results if isinstance(results, tuple) else (results,)
        if first.dtype == torch.bool:
            return (~first, *rest)
        return (first + 1e-3 if first.is_floating_point() else first + 1, *rest)

    assert fails_with(disturbed)
