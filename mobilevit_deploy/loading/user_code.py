"""Models from code of the user's own, and from sources by name: it is run, by design."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import nn

from mobilevit_deploy.errors import ModelCodeError, MvdError, UsageError
from mobilevit_deploy.loading.source import FromLibrary, Source, check_arguments, find_source, offline, takes

SEED = 0  # of random weights, so that two exports of a model have the same


@dataclass(frozen=True)
class ModelCode:
    """A function that builds a model: ``file.py:function``, ``package.module:function`` or ``source:name``.

    Attributes:
        reference: the MODEL argument.
        function: of the user's own, or of a source, whose name is given already.
        source: set for one.
    """

    reference: str
    function: Callable[..., Any]
    source: Source | None = None

    def build(self, arguments: Mapping[str, object], *, pretrained: bool | None = None) -> nn.Module | FromLibrary:
        """Returns the model, in training mode.

        Args:
            arguments: of the function, by name; none that the user did not ask for.
            pretrained: whether a source gives the weights that it knows, which may download them; False where a
                checkpoint follows.

        Raises:
            ModelCodeError: the code fails, or returns something else.
            UsageError: the function takes no such argument.
            MvdError: the library behind a source cannot be imported, or does not know the name.
        """
        given = dict(arguments)
        if self.source and (pretrained or (pretrained is False and takes(self.function, "pretrained"))):
            given["pretrained"] = pretrained
        elif pretrained:
            raise UsageError("--pretrained is for models by name from a library", "give --checkpoint FILE")
        check_arguments(self.function, self.reference, given)
        with torch.random.fork_rng(devices=[]), offline() if self.source and not pretrained else nullcontext():
            torch.manual_seed(SEED)
            try:
                built = self.function(**given)
            except MvdError:
                raise
            except (Exception, SystemExit) as error:
                raise ModelCodeError(
                    f"{self.reference} failed: {type(error).__name__}: {error}{_last_line(error)}",
                    _tell_call(self.source, self.reference, given),
                ) from error
        module = built.module if isinstance(built, FromLibrary) else built
        if not isinstance(module, nn.Module):
            raise ModelCodeError(f"{self.reference} returned a {type(module).__name__}", "it must return an nn.Module")
        if any(tensor.is_meta for tensor in module.state_dict().values()):
            raise ModelCodeError(
                f"{self.reference} returned a module without values (meta tensors)", "build it on the CPU"
            )
        return cast("nn.Module | FromLibrary", built)


def find_code(reference: str) -> ModelCode:
    """Returns the function of a MODEL argument that is no card's; imports it.

    Raises:
        ModelCodeError: the code cannot be imported, or has no such function.
        MvdError: a source cannot be imported.
    """
    source = find_source(reference)
    if source:
        return ModelCode(reference, source.build, source)
    place, _, function = reference.rpartition(":")
    return ModelCode(reference, _find_builder(_import(place), place, function))


def _tell_call(source: Source | None, reference: str, given: Mapping[str, object]) -> str:
    """Returns how the function was called, for a message."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in given.items())
    if given.get("pretrained"):
        return "its weights are downloaded by the library: is there a network? --checkpoint FILE needs none"
    if source:
        name = repr(reference.partition(":")[2])
        return f"{source.home} is given {', '.join(filter(None, [name, arguments]))} and must return an nn.Module"
    called = f"with {arguments}" if arguments else "without arguments"
    return f"it is called {called} and must return an nn.Module; --model-arg KEY=VALUE gives others"


def _import(place: str) -> ModuleType:
    path = Path(place)
    if path.suffix != ".py":
        name, folder = place, Path.cwd()
    elif path.is_file():
        # Not under a name that is taken: a file called types.py must not stand in for Python's own module.
        name, folder = f"mvd_model_{path.stem}" if path.stem in sys.modules else path.stem, path.parent.resolve()
    else:
        raise ModelCodeError(f"there is no file {place}", "give path/to/file.py:function")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # the file's own imports work as if it were run as a script
    try:
        if path.suffix != ".py":
            return importlib.import_module(name)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None  # a .py suffix always has a loader
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ModelCodeError(
            f"importing {place} failed: {type(error).__name__}: {error}{_last_line(error)}",
            "it must import in this environment; install what it needs beside mvd",
        ) from error
    return module


def _find_builder(module: ModuleType, place: str, function: str) -> Callable[..., Any]:
    builder = getattr(module, function, None)
    if callable(builder):
        return cast("Callable[..., Any]", builder)
    own = [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__
    ]
    near = get_close_matches(function, own, n=1) or own[:1]
    raise ModelCodeError(
        f"{place} has no function {function!r}", f"did you mean {place}:{near[0]}?" if near else "define one in it"
    )


def _last_line(error: BaseException) -> str:
    here = str(Path(__file__).parents[1])
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(here)]
    return f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
