"""Fitting a checkpoint's tensors to a model, each one accounted for.

A tensor that is missing, unexpected or wrongly shaped is an error that names it and what comes nearest.
Nothing is ever filled in, with one exception that is reported: ``num_batches_tracked`` counts training
steps, does not enter the outputs, and older checkpoints lack it.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.checkpoint import Checkpoint, name_forms

SHOWN = 5  # names listed per kind of problem
COMPARED = 2000  # names in which the nearest one is sought
LONGEST = 300  # letters of a name that a nearest one is sought for: the time grows with their square
COUNTER = "num_batches_tracked"
AVERAGING_COUNTER = "n_averaged"  # beside the weights in torch.optim.swa_utils.AveragedModel


def fit_weights(model: nn.Module, checkpoint: Checkpoint, *, backbone: bool) -> tuple[str, ...]:
    """Loads a checkpoint's tensors into the model.

    Args:
        model: its state dict says which names and shapes are expected; filled in place.
        checkpoint: as ``read_checkpoint`` returns it.
        backbone: the model is the backbone of a detector or segmenter, so tensors beside ``backbone.`` (the
            neck, the heads) are left out and named in the result; so are, for any model, tensors beside ``model.``
            (losses and metrics of a training module) where all of the model's own lie behind it.

    Returns:
        The names of tensors in the file that were not loaded, and of counters that it lacks.

    Raises:
        CheckpointError: any tensor is missing, unexpected, of another shape or kind, NaN or infinite.
    """
    expected = model.state_dict()
    matched, unmatched = _match(checkpoint.tensors, expected)
    not_loaded: list[str] = []
    for prefix in ("backbone.", "model.") if backbone else ("model.",):
        not_loaded += _beside(prefix, matched.values(), unmatched)
    unmatched = [key for key in unmatched if key not in not_loaded and key != AVERAGING_COUNTER]
    missing = [name for name in expected if name not in matched]
    counters = [name for name in missing if name.rsplit(".", 1)[-1] == COUNTER]
    missing = [name for name in missing if name not in counters]
    if missing or unmatched:
        raise _names_differ(checkpoint, missing, unmatched, len(matched), len(expected))
    tensors = {name: checkpoint.tensors[key] for name, key in matched.items()}
    _check_values(checkpoint, tensors, expected)
    for name in counters:
        tensors[name] = expected[name]
    model.load_state_dict(tensors)
    absent = [f"{len(counters)} x {COUNTER} (absent, and not used in inference)"] if counters else []
    return (*not_loaded, *absent)


def differs(model: nn.Module, checkpoint: Checkpoint) -> bool:
    """Tells whether names or shapes differ, without loading anything."""
    expected = model.state_dict()
    matched, unmatched = _match(checkpoint.tensors, expected)
    missing = [name for name in expected if name not in matched and not name.endswith(COUNTER)]
    return bool(missing or unmatched) or any(
        checkpoint.tensors[key].shape != expected[name].shape for name, key in matched.items()
    )


def _match(found: Iterable[str], expected: Mapping[str, Tensor]) -> tuple[dict[str, str], list[str]]:
    """Returns expected name -> key in the file, and the keys that fit no expected name."""
    matched: dict[str, str] = {}
    unmatched: list[str] = []
    for key in found:
        name = next((form for form in name_forms(key) if form in expected), None)
        if name is None:
            unmatched.append(key)
        elif name in matched:
            raise CheckpointError(
                f"both {matched[name]} and {key} in the checkpoint could be {name}",
                "save only one of the two models that the file holds",
            )
        else:
            matched[name] = key
    return matched, unmatched


def _beside(prefix: str, matched: Iterable[str], unmatched: Iterable[str]) -> list[str]:
    """Returns the keys outside a prefix that every matched key has: other parts of what was trained."""

    def inside(key: str) -> bool:
        return any(form.startswith(prefix) for form in name_forms(key))

    found = list(matched)
    return [key for key in unmatched if not inside(key)] if found and all(map(inside, found)) else []


def _names_differ(
    checkpoint: Checkpoint, missing: list[str], unmatched: list[str], fitting: int, wanted: int
) -> CheckpointError:
    source = f" (under {checkpoint.key})" if checkpoint.key else ""
    lines = [f"{checkpoint.path.name}{source} is not this model's: {fitting} of {wanted} names fit"]
    for kind, names, pool in (("missing", missing, unmatched), ("unexpected", unmatched, missing)):
        for name in names[:SHOWN]:
            near = get_close_matches(name, pool[:COMPARED], n=1) if len(name) < LONGEST else []
            lines.append(f"  {kind}: {name}" + (f" (nearest: {near[0]})" if near else ""))
        if len(names) > SHOWN:
            lines.append(f"  {kind}: {len(names) - SHOWN} more")
    return CheckpointError("\n".join(lines), "check the model name, --task, and what the checkpoint was trained as")


def _check_values(checkpoint: Checkpoint, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    shapes = [
        f"  {name}: the model has {tuple(expected[name].shape)}, the checkpoint {tuple(tensor.shape)}"
        for name, tensor in tensors.items()
        if tensor.shape != expected[name].shape
    ]
    if shapes:
        more = [f"  {len(shapes) - SHOWN} more"] if len(shapes) > SHOWN else []
        raise CheckpointError(
            "\n".join([f"{checkpoint.path.name} has tensors of other shapes:", *shapes[:SHOWN], *more]),
            "check the model name and --num-classes",
        )
    for name, tensor in tensors.items():
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
