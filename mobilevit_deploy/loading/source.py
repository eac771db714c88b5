"""A source of models by name: ``timm:NAME`` is given to ``build`` of ``sources/timm.py``.

A source is one function, from a name to a model. One that another package adds through an entry point is called in the
same way, and so is a function of the user's own, but for the name::

    def build(name: str, *, pretrained: bool = False, num_classes: int = 1000, width: int = 64) -> nn.Module: ...

What a user did not ask for is not passed: ``num_classes`` is ``--num-classes``, and ``width`` stands for anything that
``--model-arg`` names. ``pretrained`` is True for ``--pretrained``, and False where a checkpoint follows, so that no
weights are read for nothing. A source that knows more than the module returns it in a ``FromLibrary``.
"""

import hashlib
import importlib
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import torch
from torch import nn

from mobilevit_deploy.catalog.catalog import is_own_code
from mobilevit_deploy.catalog.model_card import LibraryCard
from mobilevit_deploy.errors import ChoiceError, MvdError, UsageError
from mobilevit_deploy.system import plugins
from mobilevit_deploy.system.environment import installed_version

SOURCES = "mobilevit_deploy.loading.sources"
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")  # what Hugging Face's libraries ask before they download

OPTIONS = {"num_classes": "--num-classes", "pretrained": "--pretrained"}  # the others are --model-arg

Builder = Callable[..., Any]


@dataclass(frozen=True)
class FromLibrary:
    """A model that a library built, and what the library says of it.

    Attributes:
        module: takes one image tensor (N, C, H, W).
        card: its part of the catalog.
        weights: which ones it has, such as ``timm 1.0.31, vit_tiny_patch16_224.augreg_in21k``; None for random ones.
        folder: that these were read from; None for those that the library downloaded.
        not_loaded: names in that folder's files that are not the model's.
        takes_checkpoint: whose names a checkpoint has; None for ``module``.
    """

    module: nn.Module
    card: LibraryCard
    weights: str | None = None
    folder: str | None = None
    not_loaded: tuple[str, ...] = ()
    takes_checkpoint: nn.Module | None = None


@dataclass(frozen=True)
class Source:
    """A function from a name to a model, and where it is from.

    Attributes:
        build: see above; the name is given already.
        home: what reports call the function.
        package: that it needs, which is no dependency; None for a source that another package adds.
    """

    build: Builder
    home: str
    package: str | None = None


def find_source(reference: str) -> Source | None:
    """Returns the source of ``source:name``; None where there is none of that name, as for ``file.py:function``.

    Raises:
        MvdError: one that another package adds cannot be imported.
    """
    place, _, name = reference.partition(":")
    if place.isidentifier() and find_spec(f"{SOURCES}.{place}"):
        module = importlib.import_module(f"{SOURCES}.{place}")
        return Source(partial(module.build, name), module.__name__, module.PACKAGE)
    added = plugins.plugins(plugins.MODELS).get(place)
    return Source(partial(plugins.load(added), name), added.value) if added else None


def source_packages() -> list[str]:
    """Returns the packages that the sources here need, installed or not."""
    names = [module.name for module in iter_modules(importlib.import_module(SOURCES).__path__)]
    return [importlib.import_module(f"{SOURCES}.{name}").PACKAGE for name in names]


def check_arguments(builder: Builder, reference: str, given: Iterable[str]) -> None:
    """Raises UsageError for an argument that a function does not take, with what it takes."""
    taken = parameters(builder)
    if taken is None:
        return
    for name in given:
        if name not in taken:
            near = get_close_matches(name, taken, n=1) or taken
            option = OPTIONS.get(name, f"--model-arg {name}")
            raise UsageError(
                f"{option}, but {reference} takes no {name}", f"it takes {', '.join(near) or 'no arguments'}"
            )


def lacking_arguments(builder: Builder, given: Iterable[str]) -> list[str]:
    """Returns the arguments that a function must be given and was not."""
    try:
        known = inspect.signature(builder).parameters.values()
    except (TypeError, ValueError):  # a function of C, which says nothing of its arguments
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [item.name for item in known if item.default is item.empty and item.kind not in optional]
    return [name for name in needed if name not in set(given)]


def check_vouched(text: str | None, name: str, *, checkpoint: bool, pretrained: bool) -> None:
    """Raises UsageError where there is nothing that --trained could be said of.

    Args:
        text: of the option; None where it was not given.
        name: the MODEL argument.
        checkpoint: whether one was given.
        pretrained: whether a library gives its own weights.
    """
    if text is None:
        return
    if not text.strip():
        raise UsageError("--trained is empty", "say where the weights are from, such as --trained 'our run 12'")
    for option, given in (("--checkpoint", checkpoint), ("--pretrained", pretrained)):
        if given:
            raise UsageError(f"--trained and {option} both say where the weights are from", "leave one of them out")
    if not is_own_code(name) or find_source(name):
        raise UsageError(
            f"--trained is for code of your own that loads its weights, and {name} is none",
            "leave it out, and give --checkpoint FILE" if not is_own_code(name) else "leave it out",
        )


def takes(builder: Builder, name: str) -> bool:
    """Tells whether a function has a parameter of that very name."""
    return name in _named(builder)


def parameters(builder: Builder) -> list[str] | None:
    """Returns the names that a function takes; None for one that takes any, or does not say."""
    try:
        known = inspect.signature(builder).parameters.values()
    except (TypeError, ValueError):  # a function of C, which says nothing of its arguments
        return None
    return None if any(item.kind is item.VAR_KEYWORD for item in known) else _named(builder)


def _named(builder: Builder) -> list[str]:
    try:
        known = inspect.signature(builder).parameters.values()
    except (TypeError, ValueError):
        return []
    return [item.name for item in known if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY)]


def require(package: str) -> ModuleType:
    """Returns a library that is no dependency of this package; raises MvdError with what to install."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name == package:
            raise MvdError(f"{package} is not installed", f"pip install {package}") from error
        raise MvdError(f"{package} cannot be imported: {error}", f"pip install {error.name}") from error
    except Exception as error:  # such as a compiled part that was built for another PyTorch
        reason = str(error).strip().splitlines()
        raise MvdError(
            f"{package} cannot be imported: {type(error).__name__}: {reason[0] if reason else 'no message'}",
            f"{package}, and what it imports, must fit PyTorch {torch.__version__}: install them anew together",
        ) from error


def version_of(package: str) -> str:
    """Returns a library's name and version, such as ``timm 1.0.31``."""
    return f"{package} {installed_version(package) or 'of an unknown version'}"


def unknown_name(what: str, name: str, names: Iterable[str]) -> ChoiceError:
    """Returns the error for a name that a library does not have, with the nearest one that it has."""
    known = list(names)
    near = get_close_matches(name, known, n=1)
    shown = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
    return ChoiceError(f"{what} named {name!r}", f"did you mean {near[0]!r}?" if near else f"it has {shown}")


def refuse_arguments(arguments: Mapping[str, object], instead: Mapping[str, str]) -> None:
    """Raises UsageError for an argument that has an option of its own here."""
    for name in arguments.keys() & instead.keys():
        raise UsageError(f"--model-arg {name}", instead[name])


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Returns classes' names, each once: ImageNet has two cranes, which get the numbers of their classes."""
    all_names = list(names)
    return tuple(f"{name} ({i})" if all_names.count(name) > 1 else name for i, name in enumerate(all_names))


@contextmanager
def offline() -> Iterator[None]:
    """Lets no library of Hugging Face's download anything."""
    try:
        constants: Any = importlib.import_module("huggingface_hub.constants")  # reads the variables when it is imported
    except Exception:  # not installed, or broken: then nothing downloads
        constants = None
    before = {name: os.environ.get(name) for name in OFFLINE}
    was_offline = getattr(constants, "HF_HUB_OFFLINE", False)
    os.environ.update(dict.fromkeys(OFFLINE, "1"))
    if constants:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if constants:
            constants.HF_HUB_OFFLINE = was_offline


def digest_of(module: nn.Module) -> str:
    """Returns the SHA-256 of a module's weights: names, kinds and shapes, and their bytes, in the module's order."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
