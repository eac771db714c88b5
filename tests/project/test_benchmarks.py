"""The benchmarks are run by hand and take long; what they are written against moves meanwhile."""

import importlib
import pkgutil

import pytest

import benchmarks

NAMES = [module.name for module in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("__main__")])
def test_a_benchmark_finds_what_it_imports(name: str) -> None:
    importlib.import_module(name)
