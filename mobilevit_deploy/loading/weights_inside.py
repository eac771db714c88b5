"""The state dicts in what a checkpoint holds, wherever they lie.

::

    {"state_dict": {...}, "ema": {...}, "optimizer": {...}}   ->   "state_dict", "ema", "optimizer"
    Placeholder of a whole model                              ->   its parameters and buffers, by module
    {"conv.weight": ..., "conv.bias": ...}                    ->   "", the whole

Which of them a model takes is decided by what fits, see ``fit_weights``; the order is that of ``--weights``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.checkpoint_files import RESAVE
from mobilevit_deploy.loading.inert.values import Placeholder

WeightsChoice = Literal["auto", "ema", "raw"]

DEEPEST = 6  # containers around the weights; Lightning with an average has three
DEEPEST_MODULE = 64  # modules in modules
MOST_MODULES = 100_000  # in one another, each as often as it has a name: two names at every level double them
MOST = 64  # state dicts; a checkpoint has two or three
# Words in the name of an entry that holds an average of the weights: a teacher is the student's average.
AVERAGES = ("ema", "teacher", "average", "averaged", "swa", "momentum")
# Names under which frameworks keep the weights that were trained, in the order in which they are tried.
RAW = ("model", "state_dict", "net", "module", "params", "weights")
# mmengine's EMAHook saves the average as ``state_dict``, so that it is loaded, and under this name the raw weights.
SWAPPED = "ema_state_dict"
# Words of entries whose tensors are the training's, and not the model's.
NOT_WEIGHTS = ("optim", "optimizer", "optimizers", "scaler", "scheduler", "schedulers")
# Whole names of entries with a tensor for each weight that is none: what optimisers and pruners keep, by weight.
STATISTICS = ("exp_avg", "exp_avg_sq", "momentum", "momentum_buffer", "grad", "grads", "gradients", "fisher", "masks")


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, found under a dotted path of keys; ``others`` are entries beside them that are no tensors."""

    key: str
    tensors: Mapping[str, Tensor]
    others: Mapping[str, str]


def is_average(key: str) -> bool:
    """Tells whether the names on the way to a state dict say that it is an average of the weights."""
    return _has_word(key, AVERAGES)


def has_known_name(key: str) -> bool:
    """Tells whether the names on the way to a state dict say which weights it holds; the whole of a file needs none."""
    return not key or is_average(key) or key.rpartition(".")[2] in RAW


def _has_word(name: str, words: Sequence[str]) -> bool:
    """Tells whether one of the words stands in a name by itself: ``model_ema`` has ``ema``, ``semantic`` has not."""
    return not set(re.split(r"[^a-z]+", name.lower())).isdisjoint(words)


def find_state_dicts(value: object, weights: WeightsChoice = "auto") -> list[StateDict]:
    """Returns what may be weights, the likeliest first.

    Args:
        value: a checkpoint's content.
        weights: ``auto`` has averages first, ``ema`` has those alone, ``raw`` the others alone.
    """
    found = list(_walk(value, (), set()))[:MOST]
    averages = {item.key for item in found if is_average(item.key)}
    if _is_of_mmengine(value):
        averages = {"state_dict"} if SWAPPED in averages else averages
    if weights == "auto":
        return sorted(found, key=lambda item: (item.key not in averages, *_rank(item)))
    return sorted((item for item in found if (item.key in averages) == (weights == "ema")), key=_rank)


def _is_of_mmengine(value: object) -> bool:
    """Tells whether mmengine's runner wrote a checkpoint."""
    meta = value.get("meta") if isinstance(value, Mapping) else None
    return isinstance(meta, Mapping) and "mmengine_version" in meta


def _rank(item: StateDict) -> tuple[int, int, int]:
    last = item.key.rpartition(".")[2]
    known = RAW.index(last) if last in RAW else len(RAW)
    return (item.key.count("."), known if item.key else -1, -len(item.tensors))


def _walk(value: object, path: tuple[str, ...], seen: set[int]) -> Iterator[StateDict]:
    if id(value) in seen or len(path) > DEEPEST:  # a dictionary may hold itself
        return
    seen.add(id(value))
    if isinstance(value, Placeholder):
        tensors = dict(_of_module(value, "", 0, iter(range(MOST_MODULES))))
        if tensors:
            yield StateDict(".".join(path), tensors, {})
            return
        value = value.entries or value.state
    if isinstance(value, list | tuple):  # such as (epoch, state_dict), whose entries have numbers for names
        value = {str(i): entry for i, entry in enumerate(value[:MOST]) if not isinstance(entry, Tensor)}
    if not isinstance(value, Mapping):
        return
    entries = {name: entry for name, entry in value.items() if isinstance(name, str)}
    tensors = {name: entry for name, entry in entries.items() if isinstance(entry, Tensor)}
    if tensors:
        others = {name: _kind(entry) for name, entry in entries.items() if not isinstance(entry, Tensor)}
        yield StateDict(".".join(path), tensors, others)
    for name, entry in entries.items():
        if name not in STATISTICS and not _has_word(name, NOT_WEIGHTS):
            yield from _walk(entry, (*path, name), seen)


def _of_module(module: Placeholder, prefix: str, depth: int, left: Iterator[int]) -> Iterator[tuple[str, Tensor]]:
    """Yields the tensors of a pickled module, by the names of its state dict; of TorchScript, all of its tensors."""
    if next(left, None) is None:
        raise CheckpointError("the checkpoint has modules in modules without end", RESAVE)
    state = module.state
    if isinstance(state, tuple) and state:  # of a class with slots
        state = state[0]
    if not isinstance(state, Mapping) or depth > DEEPEST_MODULE:
        return
    if "_parameters" in state:
        passing = state.get("_non_persistent_buffers_set")
        gone = passing if isinstance(passing, set | list) else ()
        own = {**_mapping(state["_parameters"]), **_mapping(state.get("_buffers"))}
        inner: Mapping[Any, Any] = _mapping(state.get("_modules"))
    elif module.name.startswith("__torch__."):
        own, inner, gone = dict(state), state, ()
    else:
        return
    for name, tensor in own.items():
        if isinstance(tensor, Tensor) and name not in gone:
            yield f"{prefix}{name}", tensor
    for name, child in inner.items():
        if isinstance(child, Placeholder):
            yield from _of_module(child, f"{prefix}{name}.", depth + 1, left)


def _mapping(value: object) -> Mapping[Any, Any]:
    if isinstance(value, Placeholder):  # a dictionary of a class of its own
        value = value.entries
    return value if isinstance(value, Mapping) else {}


def _kind(value: object) -> str:
    return value.name if isinstance(value, Placeholder) else type(value).__name__
