"""A model is run before it is traced, twice: what it returns has names, and is the same again."""

import re
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mobilevit_deploy.catalog.model_card import Task
from mobilevit_deploy.catalog.tensor_input import TYPES
from mobilevit_deploy.errors import CaptureError, DoesNotRunError
from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.graph.sample import Sample, copies_of, tensors_of
from mobilevit_deploy.graph.source_lines import user_line
from mobilevit_deploy.graph.untraceable import at, reason_of
from mobilevit_deploy.loading.plain_module import arguments_of
from mobilevit_deploy.loading.user_errors import tell_lines

SLIPS = (NameError, AttributeError, ImportError, KeyError)  # of the code itself, which an image of another size has too


def run_twice(
    module: nn.Module, sample: Sample, task: Task, inputs: Sequence[str], one_image: bool
) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
    """Returns the sizes of the outputs by their names, and a note of those that have another name in files.

    Args:
        module: in evaluation mode.
        sample: (B, C, H, W) float32, or a tensor for each input.
        task: names the outputs that have no name of their own.
        inputs: their names, which no output may have.
        one_image: whether that is all that a model may take.

    Raises:
        DoesNotRunError: it does not run.
        CaptureError: it returns what no artifact could be compared with, or something else on the second run.
    """
    try:
        with torch.no_grad():
            result, again = module(*copies_of(sample)), module(*copies_of(sample))
    except Exception as error:
        reason = f"{reason_of(error)}{tell_lines(error)}"
        shapes = " and ".join(str(tuple(item.shape)) for item in tensors_of(sample))
        what = "an input" if isinstance(sample, Tensor) else "inputs"
        raise DoesNotRunError(
            f"the model does not run on {what} of shape {shapes}: {reason}",
            None if isinstance(error, SLIPS) else _advice_on_inputs(module, sample, one_image),
        ) from error
    leaves = pytree.tree_flatten_with_path(result)[0]
    if not leaves or not all(isinstance(leaf, Tensor) for _, leaf in leaves):
        kinds = sorted({type(leaf).__name__ for _, leaf in leaves})
        raise CaptureError(
            f"the model returns {', '.join(kinds) or 'nothing'}; an exported graph returns tensors only",
            "wrap it in a module that returns a tensor, a tuple or a dictionary of tensors",
        )
    for (_, leaf), other in zip(leaves, pytree.tree_leaves(again), strict=True):
        _check_output(leaf)
        if leaf.shape != other.shape or not torch.allclose(leaf.double(), other.double(), rtol=1e-3, atol=1e-6):
            raise _not_repeated(module, sample)
    names = _names(leaves, task, inputs)
    own = ["_".join(_keys(path)) for path, _ in leaves]
    renamed = [f"{old} is {new}" for old, new in zip(own, names, strict=True) if old and old != new]
    return (
        {name: tuple(leaf.shape) for name, (_, leaf) in zip(names, leaves, strict=True)},
        (
            f"outputs have other names in the file, which takes letters, digits and _, and each name once: "
            f"{', '.join(renamed)}",
        )
        if renamed
        else (),
    )


def _advice_on_inputs(module: nn.Module, sample: Sample, one_image: bool) -> str:
    """Returns what to type so that the model runs: its arguments, where it takes more than one."""
    if not isinstance(sample, Tensor):
        return "are the sizes and the types of --input right? TYPE is float32 where none is given"
    names = arguments_of(module)
    if len(names) < 2:
        return (
            "it must take one image tensor (N, C, H, W) of that size; --input-size N, HxW or CxHxW gives another, and "
            "--layout nhwc is for (N, H, W, C)"
        )
    if one_image:
        return f"forward takes {', '.join(names)}, and int8 one image: give a module that holds the others as buffers"
    image, *others = names
    size = "x".join(map(str, sample.shape))
    shown = " ".join(f"--input {name}=1xN:TYPE" for name in others)
    return (
        f"forward takes {', '.join(names)}. Name each that it needs, with its sizes: --input {image}={size} {shown}; "
        f"TYPE is {', '.join(TYPES)}. Or give a module that holds the others as buffers"
    )


def _check_output(leaf: Tensor) -> None:
    """Raises CaptureError for an output that no artifact could be compared with."""
    if leaf.is_complex():
        raise CaptureError("the model returns complex numbers, which no target has", "return torch.view_as_real(x)")
    if leaf.is_floating_point() and not bool(leaf.isfinite().all()):
        raise CaptureError(
            "PyTorch's own output has NaN or infinite values on a test image", "look at the weights and the model"
        )


def _not_repeated(module: nn.Module, sample: Sample) -> CaptureError:
    """Returns the error for a model that returns something else when it runs on an image again."""
    before = {name: value.clone() for name, value in _state_of(module)}
    with torch.no_grad():
        module(*copies_of(sample))
    written = [name for name, value in _state_of(module) if name not in before or not torch.equal(value, before[name])]
    if written:
        return CaptureError(
            f"what the model returns depends on the images before: it keeps {', '.join(written)} from one to the next",
            "a file keeps nothing: take the state as an input and return the new one, or make it anew for every image",
        )
    return CaptureError(
        f"the model returns something else each time that it runs on one image{at(_random_line(module, sample))}",
        "take out what is random in evaluation: torch.rand*, or dropout with training=True",
    )


def _state_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yields the tensors that a model may write to: buffers, and attributes that are tensors."""
    for path, part in module.named_modules():
        for name, value in (*part.named_buffers(recurse=False), *vars(part).items()):
            if isinstance(value, Tensor):
                yield f"{path}.{name}".lstrip("."), value


def _random_line(module: nn.Module, sample: Sample) -> str:
    """Returns the line of the first call that draws random numbers, where the model can be traced that far."""
    try:
        with torch.no_grad(), quiet_torch():
            program = torch.export.export(module, copies_of(sample), strict=False)
    except Exception:  # the message says what is wrong without the line, too
        return ""
    for node in program.graph.nodes:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            return user_line(node.meta.get("stack_trace") or "")
    return ""


def _names(leaves: Sequence[tuple[pytree.KeyPath, Tensor]], task: Task, inputs: Sequence[str]) -> list[str]:
    """Returns dictionary keys and field names where there are any, else logits, features0, features1, ..."""
    names = []
    for i, (path, leaf) in enumerate(leaves):
        own = "_".join(re.sub(r"\W", "_", key) for key in _keys(path))
        if len(leaves) == 1 and not own:
            own = "logits" if task == "classify" and leaf.ndim == 2 else "features" if task == "features" else "output"
        names.append(own or f"{'features' if task == 'features' else 'output'}{i}")
    taken = set(inputs)
    for i, name in enumerate(names):
        names[i] = name if name not in taken else f"{name}_{i}"
        taken.add(names[i])
    return names


def _keys(path: pytree.KeyPath) -> list[str]:
    """Returns the dictionary keys and field names on the way to an output; places in a tuple have none."""
    keys = [str(getattr(key, "key", getattr(key, "name", ""))) for key in path]
    return [key for key in keys if key]
