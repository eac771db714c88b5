"""What is said of a checkpoint whose names are not a model's, with what comes nearest and what to try."""

from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import takewhile

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.loading.checkpoint import Checkpoint, names_of
from mobilevit_deploy.loading.special_tensors import special_tensor

SHOWN = 5  # names listed per kind of problem
MOST_IGNORED = 4  # patterns in a hint
COMPARED = 2000  # names in which the nearest one is sought
LONGEST = 300  # letters of a name that a nearest one is sought for: the time grows with their square
SHARED = 3  # letters that names begin with, at least, to be left aside by one pattern
QUANTIZED = ("zero_point", "_packed_params")  # beside the weights of a layer that PyTorch quantised


def names_differ(
    checkpoint: Checkpoint,
    missing: Sequence[str],
    unmatched: Sequence[str],
    own: Collection[str],
    wanted: int,
    next_step: Callable[[], str | None],
    shapes: Sequence[str] = (),
) -> CheckpointError:
    """Returns the error for names that differ.

    Args:
        checkpoint: whose they are.
        missing: names of the model that it lacks.
        unmatched: names that it has, and the model not.
        own: names that it has for the model's.
        wanted: how many the model has.
        next_step: what to try, where that is known.
        shapes: lines on those that fit by name and are of another shape.
    """
    source = f" (under {checkpoint.key})" if checkpoint.key else ""
    objects = [name for name in missing if name in checkpoint.objects]
    if objects:
        return _is_no_tensor(checkpoint, objects[0])
    quantized = [name for name in (*unmatched, *checkpoint.objects) if name.rpartition(".")[2] in QUANTIZED]
    if quantized and missing:
        layer = quantized[0].rpartition(".")[0].removesuffix("._packed_params")
        return CheckpointError(
            f"{checkpoint.path.name}{source} is of a model that PyTorch quantised, such as its layer {layer}",
            "give the checkpoint of the float model",
        )
    lines = [f"{checkpoint.path.name}{source} is not this model's: {len(own)} of {wanted} names fit"]
    for kind, names, pool in (("missing", missing, unmatched), ("unexpected", unmatched, missing)):
        for name in names[:SHOWN]:
            near = get_close_matches(name, pool[:COMPARED], n=1) if len(name) < LONGEST else []
            lines.append(f"  {kind}: {name}" + (f" (nearest: {near[0]})" if near else ""))
        if len(names) > SHOWN:
            lines.append(f"  {kind}: {len(names) - SHOWN} more")
    if shapes:
        lines += ["  of other shapes:", *(f"  {line}" for line in shapes)]
    if checkpoint.others:
        lines.append(f"  the file has other weights: {names_of(checkpoint.others)}")
    hint = next_step() or (None if missing else _how_to_ignore(unmatched, own))
    if hint is None:
        hint = (
            "check the model name, --task, and what the checkpoint was trained as; --key, --prefix and --ignore choose "
            "among what the file has"
        )
    return CheckpointError("\n".join(lines), hint)


def _is_no_tensor(checkpoint: Checkpoint, name: str) -> CheckpointError:
    kind = checkpoint.objects[name]
    special = special_tensor(kind)
    if special:
        return CheckpointError(f"{name} in {checkpoint.path.name} is {special.what}, which is not read", special.hint)
    return CheckpointError(
        f"{name} in {checkpoint.path.name} is an object of {kind}: building its tensor could run code, so it was not "
        "read",
        "save plain tensors: model.state_dict() of the float model, on the CPU",
    )


def _how_to_ignore(names: Sequence[str], own: Collection[str]) -> str | None:
    """Returns the options that leave names aside and none of the model's own; None where that takes too many."""
    shared = _pattern(names, own)
    patterns = [shared] if shared else []
    for name in names:
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            continue
        found = _pattern([name], own)
        if found is None or len(patterns) == MOST_IGNORED:
            return None
        patterns.append(found)
    options = " ".join(f"--ignore '{pattern}'" for pattern in patterns)
    return f"if the model needs none of these, leave them aside: {options}"


def _pattern(names: Sequence[str], own: Collection[str]) -> str | None:
    """Returns a pattern of names, by what all begin with or end in, that is none of the others."""
    pairs = zip(min(names), max(names), strict=False)
    shared = "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    first, last = shared.partition(".")[0], {name.rpartition(".")[2] for name in names}
    patterns = [f"{first}*"] if len(first) >= SHARED or len(names) == 1 else []
    patterns += [f"*.{last.pop()}"] if len(last) == 1 else []
    patterns += names if len(names) == 1 else []
    usable = (item for item in patterns if len(item) < LONGEST and not any(fnmatchcase(name, item) for name in own))
    return next(usable, None)
