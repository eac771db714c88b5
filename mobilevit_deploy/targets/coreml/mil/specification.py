"""Core ML's protobuf classes, as coremltools ships them.

Importing ``coremltools.proto`` runs ``coremltools/__init__``, which takes seconds and logs missing native libraries.
The generated modules depend on nothing but protobuf and one another, so they are loaded from their folder as a package
of their own. Both copies share protobuf's descriptor pool, hence its classes: coremltools may be imported later.
"""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mobilevit_deploy.errors import MvdError

_ALIAS = f"{__package__}._coreml_proto"


@cache
def _load() -> ModuleType:
    found = importlib.util.find_spec("coremltools")  # finds the folder and imports nothing
    if found is None or not found.submodule_search_locations:
        raise MvdError("coremltools, which has the description of the Core ML format, is not installed")
    folder = Path(found.submodule_search_locations[0]) / "proto"
    spec = importlib.util.spec_from_file_location(
        _ALIAS, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise MvdError(f"{folder} is not a Python package", "install coremltools again")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_ALIAS] = module  # the generated modules import one another relatively
    spec.loader.exec_module(module)
    return module


def parse_model(content: bytes) -> Any:
    """Returns the ``Model`` message that the bytes encode.

    Raises:
        ValueError: they encode none.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs

    try:
        return _load().Model_pb2.Model.FromString(content)
    except DecodeError as error:
        raise ValueError(str(error)) from error


def color_space_name(number: int) -> str:
    """Returns the name of an image feature's colour space, such as ``RGB``."""
    name: str = _load().FeatureTypes_pb2.ImageFeatureType.ColorSpace.Name(number)
    return name
