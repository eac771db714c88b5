"""Fitting a checkpoint's tensors to a model, each one accounted for.

A tensor that is missing, unexpected or wrongly shaped is an error that names it and what comes nearest.
Nothing is ever filled in, with two exceptions that are reported: ``num_batches_tracked`` counts training
steps, does not enter the outputs, and older checkpoints lack it; and a tensor that the model ties to another one is
that one.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.adapters import refuse_adapters
from mobilevit_deploy.loading.checkpoint import Checkpoint
from mobilevit_deploy.loading.misfit import names_differ
from mobilevit_deploy.loading.names import COUNTER, PREFIXES, Match, match_names, name_forms
from mobilevit_deploy.loading.parametrizations import fold_parametrizations
from mobilevit_deploy.loading.records import check_records
from mobilevit_deploy.loading.weights_inside import has_known_name

SHOWN = 5  # names listed per kind of problem
# Beside the weights in torch.optim.swa_utils.AveragedModel, and in mmengine's.
AVERAGING_COUNTERS = ("n_averaged", "steps")


@dataclass(frozen=True)
class Fitted:
    """What became of a checkpoint's tensors.

    Attributes:
        not_loaded: names of tensors in the file that were not loaded, and of counters that it lacks.
        notes: what was done to the others, such as a prefix that was taken off.
    """

    not_loaded: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Differences:
    """Names that a model has alone, names that a checkpoint has alone, and tensors of both whose shapes differ."""

    lacking: Sequence[str]
    unmatched: Sequence[str]
    shapes: Mapping[str, tuple[Tensor, Tensor]]


def choose(checkpoint: Checkpoint, lacks: Callable[[Checkpoint], int]) -> Checkpoint:
    """Returns the state dict of a file that a model's names fit best; of equals, the likeliest by its own name.

    Args:
        checkpoint: with its other state dicts.
        lacks: how many names of the model one lacks.

    Raises:
        CheckpointError: two of different values fit, and neither says what it is: a generator beside a discriminator.
    """
    if not checkpoint.others:
        return checkpoint
    missing = [lacks(choice) for choice in checkpoint.choices]
    best = checkpoint.choices[missing.index(min(missing))]
    if min(missing) == 0 and not has_known_name(best.key):
        fitting = [choice for choice, count in zip(checkpoint.choices, missing, strict=True) if count == 0]
        if any(not _is_same(best, other) for other in fitting):
            keys = ", ".join(choice.key for choice in fitting[:SHOWN])
            raise CheckpointError(
                f"{checkpoint.path.name} has {len(fitting)} sets of weights that fit, of different values: {keys}",
                f"--key {best.key} takes the first",
            )
    return best


def _is_same(one: Checkpoint, other: Checkpoint) -> bool:
    """Tells whether two state dicts hold the same tensors under the same names."""
    return one.tensors.keys() == other.tensors.keys() and all(
        value.shape == other.tensors[name].shape and torch.equal(value, other.tensors[name])
        for name, value in one.tensors.items()
    )


def fit_weights(
    model: nn.Module,
    checkpoint: Checkpoint,
    *,
    left_aside: Sequence[str] = (),
    next_step: Callable[[], str | None] = lambda: None,
) -> Fitted:
    """Loads a checkpoint's tensors into the model.

    Where all of the model's own lie behind a prefix such as ``backbone.`` or ``model.``, tensors beside it are left out
    and named in the result: the neck and the heads of a detector, losses and metrics of a training module.

    Args:
        model: its state dict says which names and shapes are expected; filled in place.
        checkpoint: as ``read_checkpoint`` returns it.
        left_aside: patterns of names that training alone uses; they are named in the result, too.
        next_step: what to try where the names or shapes are another model's.

    Raises:
        CheckpointError: any tensor is missing, unexpected, of another shape or kind, damaged, NaN or infinite.
    """
    expected = model.state_dict()
    refuse_adapters(checkpoint, expected)
    found, notes = fold_parametrizations(checkpoint.tensors, expected)
    match = match_names(list(found), expected)
    matched, unmatched = match.matched, match.unmatched
    not_loaded: list[str] = []
    for prefix in PREFIXES:
        not_loaded += _beside(prefix, matched.values(), unmatched)
    not_loaded += [key for key in unmatched if key not in not_loaded and _is_like(key, left_aside)]
    if match.note:
        not_loaded += [key for key in unmatched if key not in not_loaded]
        notes = (*notes, match.note)
    unmatched = [key for key in unmatched if key not in not_loaded and key not in AVERAGING_COUNTERS]
    missing = match.missing(expected)
    counters = [name for name in missing if name.rsplit(".", 1)[-1] == COUNTER]
    tied = _tied(expected, [name for name in missing if name not in counters], matched)
    missing = [name for name in missing if name not in counters and name not in tied]
    if missing or unmatched:
        shapes = _other_shapes({name: found[key] for name, key in matched.items()}, expected)
        raise names_differ(checkpoint, missing, unmatched, matched.values(), len(expected), next_step, shapes)
    check_records(checkpoint.tensors, checkpoint.records)
    tensors = {name: found[key] for name, key in matched.items()}
    tensors |= {name: tensors[other] for name, other in tied.items()}
    odd = {name for name, tensor in tensors.items() if name.endswith(COUNTER) and tensor.shape != expected[name].shape}
    tensors |= {name: expected[name] for name in odd}  # which evaluation never reads
    _check_shapes(checkpoint, tensors, expected, next_step)
    _check_values(checkpoint, tensors, expected)
    for name in counters:
        tensors[name] = expected[name]
    model.load_state_dict(_with_versions(tensors, expected))
    if counters:
        not_loaded.append(f"{len(counters)} x {COUNTER} (absent, and not used in inference)")
    if tied:
        notes = (*notes, f"tied to another tensor: {', '.join(tied)}")
    return Fitted(tuple(not_loaded), notes)


def _with_versions(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a state dict with the versions of its modules' forms: torchvision's MNASNet refuses one without."""
    state = OrderedDict(tensors)
    state._metadata = getattr(own, "_metadata", {})  # type: ignore[attr-defined]  # as PyTorch itself keeps it
    return state


def differs(model: nn.Module, checkpoint: Checkpoint) -> bool:
    """Tells whether names or shapes differ, without loading anything."""
    found = differences(model, checkpoint)
    return bool(found.lacking or found.unmatched or found.shapes)


def differences(model: nn.Module, checkpoint: Checkpoint) -> Differences:
    """Returns where a checkpoint's names and shapes are not a model's; raises as ``match_names`` does."""
    expected = model.state_dict()
    found, _ = fold_parametrizations(checkpoint.tensors, expected)
    match = match_names(list(found), expected)
    pairs = {name: (expected[name], found[key]) for name, key in match.matched.items()}
    shapes = {
        name: (own, other)
        for name, (own, other) in pairs.items()
        if own.shape != other.shape and not name.endswith(COUNTER)
    }
    return Differences(_lacking(match, expected), match.unmatched, shapes)


def lacks(model: nn.Module, checkpoint: Checkpoint) -> int:
    """Returns how many tensors of a model a checkpoint lacks, or has in another shape."""
    try:
        found = differences(model, checkpoint)
    except CheckpointError:  # two models side by side, of which nobody says which
        return len(model.state_dict())
    return len(found.lacking) + len(found.shapes)


def _lacking(match: Match, expected: Mapping[str, Tensor]) -> list[str]:
    return [name for name in match.missing(expected) if not name.endswith(COUNTER)]


def _tied(expected: Mapping[str, Tensor], missing: list[str], matched: Mapping[str, str]) -> dict[str, str]:
    """Returns, for tensors that a checkpoint lacks, the ones in the same memory that it has: saved once, used twice."""
    known = {(expected[name].data_ptr(), expected[name].shape): name for name in matched if expected[name].numel()}
    places = {name: (expected[name].data_ptr(), expected[name].shape) for name in missing if not expected[name].is_meta}
    return {name: known[place] for name, place in places.items() if place in known and expected[name].numel()}


def _is_like(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(form, pattern) for form in name_forms(key) for pattern in patterns)


def _beside(prefix: str, matched: Iterable[str], unmatched: Iterable[str]) -> list[str]:
    """Returns the keys outside a prefix that every matched key has: other parts of what was trained."""

    def inside(key: str) -> bool:
        return any(form.startswith(prefix) for form in name_forms(key))

    found = list(matched)
    return [key for key in unmatched if not inside(key)] if found and all(map(inside, found)) else []


def _check_shapes(
    checkpoint: Checkpoint,
    tensors: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    next_step: Callable[[], str | None],
) -> None:
    if shapes := _other_shapes(tensors, expected):
        raise CheckpointError(
            "\n".join([f"{checkpoint.path.name} has tensors of other shapes:", *shapes]),
            next_step() or "check the model name and --num-classes",
        )


def _other_shapes(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Returns a line for each tensor of another shape than the model's, the first few of them."""
    shapes = [
        f"  {name}: the model has {tuple(expected[name].shape)}, the checkpoint {tuple(tensor.shape)}"
        for name, tensor in tensors.items()
        if tensor.shape != expected[name].shape and not name.endswith(COUNTER)
    ]
    return [*shapes[:SHOWN], *([f"  {len(shapes) - SHOWN} more"] if len(shapes) > SHOWN else [])]


def _check_values(checkpoint: Checkpoint, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if name.endswith(COUNTER):  # which evaluation never reads
            continue
        if (
            tensor.is_meta
            or tensor.layout != torch.strided
            or tensor.is_floating_point() != expected[name].is_floating_point()
        ):
            raise CheckpointError(
                f"{name} is {tensor.dtype} {tensor.layout} on {tensor.device}, the model has {expected[name].dtype}",
                "a quantised or sparse checkpoint cannot be exported: give the float one",
            )
    broken = [
        name for name, tensor in tensors.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]
    if broken:
        raise CheckpointError(
            f"{checkpoint.path.name} has NaN or infinite values in {len(broken)} tensors: {', '.join(broken[:SHOWN])}",
            "training diverged: take an earlier checkpoint",
        )
