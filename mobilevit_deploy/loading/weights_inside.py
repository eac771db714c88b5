"""The state dicts in what a checkpoint holds, wherever they lie.

::

    {"state_dict": {...}, "ema": {...}, "optimizer": {...}}   ->   "state_dict", "ema", "optimizer"
    Placeholder of a whole model                              ->   its parameters and buffers, by module
    {"conv.weight": ..., "conv.bias": ...}                    ->   "", the whole
    {"model.conv.weight": ..., "ema_model.conv.weight": ...}  ->   "ema_model", "model", and "", the whole

Which of them a model takes is decided by what fits, see ``fit_weights``; the order is that of ``--weights``.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from torch import Tensor

from mobilevit_deploy.catalog.model_card import WeightsChoice
from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.checkpoint_files import RESAVE
from mobilevit_deploy.loading.inert.arrays import tensor_of
from mobilevit_deploy.loading.inert.values import Placeholder
from mobilevit_deploy.loading.names import unwrapped

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
OF_MMENGINE = frozenset({"mmengine_version", "dataset_meta", "experiment_name"})  # keys of its ``meta``
# Words of entries whose tensors are the training's, and not the model's.
NOT_WEIGHTS = ("optim", "optimizer", "optimizers", "scaler", "scheduler", "schedulers")
# Whole names of entries with a tensor for each weight that is none: what optimisers and pruners keep, by weight.
STATISTICS = ("exp_avg", "exp_avg_sq", "momentum", "momentum_buffer", "grad", "grads", "gradients", "fisher", "masks",
              "message_hub")  # fmt: skip  # the last has mmengine's curves of losses


@dataclass(frozen=True)
class StateDict:
    """Tensors by name.

    Attributes:
        path: the keys that lead to it; none for the whole of a file.
        tensors: of it.
        others: names beside the tensors that are not taken: what is no tensor, or the other side of a divided one.
        side: what all of its names begin with in a dictionary that holds a model and its average; else empty.
        divided: it has two such sides, which stand for themselves.
    """

    path: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    others: Mapping[str, str]
    side: str = ""
    divided: bool = False

    @property
    def key(self) -> str:
        """Returns the dotted path."""
        return ".".join((*self.path, self.side) if self.side else self.path)


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
    if SWAPPED in averages and _is_of_mmengine(value):
        averages = {"state_dict"}
    if weights == "auto":
        return sorted(found, key=lambda item: (item.key not in averages, *_rank(item)))
    return sorted((item for item in found if (item.key in averages) == (weights == "ema")), key=_rank)


def _is_of_mmengine(value: object) -> bool:
    """Tells whether mmengine's runner wrote a checkpoint: by what it notes, or by the steps that its average counts."""
    if not isinstance(value, Mapping):
        return False
    meta, inner = value.get("meta"), value.get(SWAPPED)
    noted = isinstance(meta, Mapping) and not OF_MMENGINE.isdisjoint(meta)
    return noted or "message_hub" in value or (isinstance(inner, Mapping) and "steps" in inner)


def _rank(item: StateDict) -> tuple[bool, int, int, int]:
    last = item.key.rpartition(".")[2]
    known = RAW.index(last) if last in RAW else len(RAW)
    return (item.divided, item.key.count("."), known if item.key else -1, -len(item.tensors))


def names_beside(value: object, item: StateDict) -> list[str]:
    """Returns the dotted names of what else a checkpoint holds, at each step on the way to a state dict."""
    names = []
    for depth, step in enumerate(item.path):
        entries = _entries(value)
        names += [".".join((*item.path[:depth], str(name))) for name in entries if name != step]
        value = entries.get(step)
    return [*names, *(".".join((*item.path, name)) for name in item.others)]


def _walk(value: object, path: tuple[str, ...], seen: set[int]) -> Iterator[StateDict]:
    if id(value) in seen or len(path) > DEEPEST:  # a dictionary may hold itself
        return
    seen.add(id(value))
    if isinstance(value, Placeholder):
        tensors = dict(_of_module(value, "", 0, iter(range(MOST_MODULES))))
        if tensors:
            yield StateDict(path, tensors, {})
            return
    entries = {name: entry for name, entry in _entries(value).items() if isinstance(name, str)}
    tensors = {name: entry for name, entry in entries.items() if isinstance(entry, Tensor)}
    if not tensors:  # beside tensors, an array is none of the weights
        tensors = {name: made for name, entry in entries.items() if (made := tensor_of(entry)) is not None}
    if tensors:
        others = {name: _kind(entry) for name, entry in entries.items() if name not in tensors}
        sides = list(_sides(path, tensors, others))
        yield from sides
        yield StateDict(path, tensors, others, divided=bool(sides))
    for name, entry in entries.items():
        if name not in STATISTICS and not _has_word(name, NOT_WEIGHTS):
            yield from _walk(entry, (*path, name), seen)


def _entries(value: object) -> Mapping[Any, Any]:
    """Returns what a container holds by name; a list, such as (epoch, state_dict), has numbers for names."""
    if isinstance(value, Placeholder):
        value = value.entries or value.state
    if isinstance(value, list | tuple):
        return {str(i): entry for i, entry in enumerate(value[:MOST]) if not isinstance(entry, Tensor)}
    return value if isinstance(value, Mapping) else {}


def _sides(path: tuple[str, ...], tensors: Mapping[str, Tensor], others: Mapping[str, str]) -> Iterator[StateDict]:
    """Yields a model and its average that one dictionary holds, under names that begin differently and end alike.

    A number that the average alone has, such as ``n_averaged``, is none of its weights.
    """
    names = {unwrapped(name): name for name in tensors}
    if len(names) < len(tensors):
        return
    averages: dict[str, list[str]] = {}
    for name, key in names.items():
        parts = name.split(".")
        depth = next((i for i, part in enumerate(parts[:-1], 1) if is_average(part)), 0)
        if depth and tensors[key].numel() > 1:
            averages.setdefault(".".join(parts[:depth]), []).append(".".join(parts[depth:]))
    pairs = [(average, _other_side(average, ends, names)) for average, ends in islice(averages.items(), MOST)]
    both = {
        side: other for average, raw in pairs if raw is not None for side, other in ((average, raw), (raw, average))
    }
    for side, other in both.items():
        own = {_end(name, side): key for name, key in names.items() if _is_in(name, side, other)}
        kept = {end: tensors[key] for end, key in own.items() if tensors[key].numel() > 1 or _join(other, end) in names}
        taken = {own[end] for end in kept} | {key for name, key in names.items() if other and _is_in(name, other, side)}
        left = [*([other] if other else []), *(key for key in tensors if key not in taken)]
        yield StateDict(path, kept, {**dict.fromkeys(left, ""), **others}, side)


def _other_side(average: str, ends: Sequence[str], names: Collection[str]) -> str | None:
    """Returns what stands before the same ends in other names, perhaps nothing; None where nothing does."""
    longest = max(ends, key=len)
    for name in names:
        if f".{name}".endswith(f".{longest}") and not _is_in(name, average, ""):
            side = name[: -len(longest)].rstrip(".")
            if not is_average(side) and all(_join(side, end) in names for end in ends):
                return side
    return None


def _is_in(name: str, side: str, other: str) -> bool:
    """Tells whether a name is of a side; of the side that has nothing before its names, where it is not the other's."""
    return name.startswith(f"{side}.") if side else not name.startswith(f"{other}.")


def _join(side: str, end: str) -> str:
    return f"{side}.{end}" if side else end


def _end(name: str, side: str) -> str:
    return name.removeprefix(f"{side}.") if side else name


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
