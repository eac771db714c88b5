"""Models from code of the user's own, and from sources by name: it is run, by design."""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import nn

from mobilevit_deploy.errors import ChoiceError, ModelCodeError, MvdError, UsageError
from mobilevit_deploy.loading.source import (
    FromLibrary,
    Source,
    check_arguments,
    find_source,
    lacking_arguments,
    offline,
    takes,
)
from mobilevit_deploy.loading.user_errors import tell_error

SEED = 0  # of random weights, so that two exports of a model have the same


@dataclass(frozen=True)
class ModelCode:
    """What builds a model: ``file.py:function``, ``package.module:function`` or ``source:name``.

    Attributes:
        reference: the MODEL argument.
        function: of the user's own, or of a source, whose name is given already; of a module that is built already,
            one that returns it.
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
            UsageError: the function takes no such argument, or needs others.
            MvdError: the library behind a source cannot be imported, or does not know the name.
        """
        given = dict(arguments)
        if self.source and (pretrained or (pretrained is False and takes(self.function, "pretrained"))):
            given["pretrained"] = pretrained
        elif pretrained:
            raise UsageError("--pretrained is for models by name from a library", "give --checkpoint FILE")
        check_arguments(self.function, self.reference, given)
        lacking = [] if self.source else lacking_arguments(self.function, given)
        if lacking:
            raise UsageError(
                f"{self.reference} needs the argument{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}",
                f"give {' '.join(f'--model-arg {name}=VALUE' for name in lacking)}",
            )
        with _seeded(), _as_script(self.reference), offline() if self.source and not pretrained else nullcontext():
            try:
                built = self.function(**given)
            except MvdError:
                raise
            except (Exception, SystemExit) as error:
                raise ModelCodeError(
                    f"{self.reference} failed: {tell_error(error)}", _tell_call(self.source, self.reference, given)
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
    """Returns what builds the model of a MODEL argument that is no card's; imports it.

    Raises:
        ModelCodeError: the code cannot be imported, or what it has by that name is neither function nor module.
        ChoiceError: it has nothing by that name.
        MvdError: a source cannot be imported.
    """
    source = find_source(reference)
    if source:
        return ModelCode(reference, source.build, source)
    place, _, name = reference.rpartition(":")
    with _seeded(), _as_script(place):
        module = _import(place)
    return ModelCode(reference, _find_builder(module, place, name))


@contextmanager
def _seeded() -> Iterator[None]:
    """Gives random weights a seed of their own, and leaves that of the caller as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


@contextmanager
def _as_script(place: str) -> Iterator[None]:
    """Takes mvd's own arguments away, which a script of the user's would read as its own; ``place`` is its name."""
    kept, sys.argv = sys.argv, [place]
    try:
        yield
    finally:
        sys.argv = kept


def _tell_call(source: Source | None, reference: str, given: Mapping[str, object]) -> str | None:
    """Returns how a source was called, for a message; of the user's own function its lines say it."""
    if given.get("pretrained"):
        return "its weights are downloaded by the library: is there a network? --checkpoint FILE needs none"
    if source is None:
        return None
    arguments = [repr(reference.partition(":")[2]), *(f"{name}={value!r}" for name, value in given.items())]
    return f"{source.home} is given {', '.join(arguments)} and must return an nn.Module"


def _import(place: str) -> ModuleType:
    path = Path(place)
    if path.suffix == ".py" and not path.is_file():
        raise ModelCodeError(f"there is no file {place}", "give path/to/file.py:function")
    try:
        if path.suffix == ".py":
            return _run_file(path)
        _look_into(Path.cwd())
        return importlib.import_module(place)
    except (Exception, SystemExit) as error:
        raise ModelCodeError(f"importing {place} failed: {tell_error(error)}", _tell_import(error, place)) from error


def _run_file(path: Path) -> ModuleType:
    """Runs a file as a module of its own, or of the package that its relative imports are of."""
    folder = path.parent.resolve()
    # Not under a name that is taken: a file called types.py must not stand in for Python's own module.
    name = f"mvd_model_{path.stem}" if path.stem in sys.modules else path.stem
    _look_into(folder)  # the file's own imports work as if it were run as a script
    if folder.name.isidentifier() and _imports_relatively(path):
        package, above = folder.name, folder.parent
        while (above / "__init__.py").is_file():
            package, above = f"{above.name}.{package}", above.parent
        _look_into(above)
        importlib.import_module(package)
        name = f"{package}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # a .py suffix always has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _look_into(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _imports_relatively(path: Path) -> bool:
    """Tells whether a file has ``from .other import name``; what cannot be parsed is for Python to say."""
    try:
        nodes = ast.walk(ast.parse(path.read_bytes()))
    except (SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.ImportFrom) and node.level for node in nodes)


def _tell_import(error: BaseException, place: str) -> str | None:
    """Returns the next step after an import that failed, where there is one."""
    if isinstance(error, SystemExit):
        return f"{place} ends the program where it is imported: put that part below if __name__ == '__main__':"
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    if f"{place}.".startswith(f"{error.name}."):
        return "give path/to/file.py:function, or a package of this folder or of this environment"
    return f"install {error.name} beside mvd, or run mvd in the environment that has it"


def _find_builder(module: ModuleType, place: str, name: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if isinstance(found, nn.Module):
        # A file is run for each model anew; a module that Python keeps is not to be changed by what is done to it.
        return (lambda: found) if place.endswith(".py") else (lambda: deepcopy(found))
    if callable(found):
        return cast("Callable[..., Any]", found)
    if hasattr(module, name):
        raise ModelCodeError(
            f"{place}:{name} is a {type(found).__name__}", "name a function, a class or a module, that is an nn.Module"
        )
    own = _builders(module)
    near = get_close_matches(name, own, n=1)
    has = f"it has {', '.join(f'{one} ({what})' for one, what in own.items())}" if own else "define one in it"
    raise ChoiceError(
        f"{place} has no {name!r}", f"did you mean {place}:{near[0]}? {has[0].upper()}{has[1:]}" if near else has
    )


def _builders(module: ModuleType) -> dict[str, str]:
    """Returns what of a file could be a model, by its name: its own functions and classes, and modules."""
    found = {}
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if isinstance(value, nn.Module):
            found[name] = "a module"
        elif callable(value) and getattr(value, "__module__", "") == module.__name__:
            found[name] = "a class" if isinstance(value, type) else "a function"
    return found
