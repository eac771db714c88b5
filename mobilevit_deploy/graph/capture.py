"""From an ``nn.Module`` to a graph of ATen calls, and from a rewritten graph to an ``ExportedProgram``."""

import io
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.ao.quantization import FakeQuantizeBase
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from mobilevit_deploy.catalog.model_card import Task
from mobilevit_deploy.catalog.tensor_input import TYPES, TensorInput, first_image
from mobilevit_deploy.errors import CaptureError, DoesNotRunError
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.ordered import Ordered
from mobilevit_deploy.graph.plain import plain_graph
from mobilevit_deploy.graph.sample import Sample, copies_of, tensors_of
from mobilevit_deploy.graph.source_lines import user_line
from mobilevit_deploy.graph.strides import on_any_strides
from mobilevit_deploy.graph.taken_names import put_inside, taken_names
from mobilevit_deploy.graph.torchscript import to_plain_module
from mobilevit_deploy.graph.untraceable import at, not_traced, of_no_size, reason_of
from mobilevit_deploy.graph.widening import Widened, refuse_half
from mobilevit_deploy.loading.plain_module import arguments_of
from mobilevit_deploy.loading.user_errors import tell_lines

INPUT_NAME = "input"
SLIPS = (NameError, AttributeError, ImportError, KeyError)  # of the code itself, which an image of another size has too

QUIET = ("torch.onnx", "torch.export", "torch._export", "torch.fx", "torch._subclasses")  # loggers


@dataclass(frozen=True)
class Steps:
    """How whole numbers at a border stand for real ones: ``scale * (number - zero_point)``."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and type of an input or output; float32 at the border, where an artifact does not say otherwise.

    ``steps`` is there where an artifact takes or returns whole numbers in the place of real ones.
    """

    name: str
    shape: tuple[int, ...]
    type: str = "float32"
    steps: Steps | None = None


@dataclass(frozen=True)
class Captured:
    """The graph of a model as its author wrote it, and the names of what goes in and out.

    ``notes`` are for the user: what is otherwise in a file than in the model's code.
    """

    graph: Graph
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    notes: tuple[str, ...] = ()


def capture(
    module: nn.Module, sample: Sample, task: Task, inputs: Sequence[TensorInput] = (), *, one_image: bool = False
) -> Captured:
    """Traces a model for one shape of each input.

    Args:
        module: in evaluation mode.
        sample: (B, C, H, W) float32, or a tensor for each input.
        task: names the outputs that have no name of their own.
        inputs: where the user named them.
        one_image: whether that is all that a model may take, as for int8.

    Raises:
        CaptureError: the model does not run on the sample, returns something else than tensors, or cannot be traced;
            or an input changes nothing.
    """
    _refuse_fake_quantization(module)
    ran, traced = Widened(), Widened()
    with ran, Ordered():
        outputs, renamed = _run_once(
            module, sample, task, tuple(item.name for item in inputs) or (INPUT_NAME,), one_image
        )
    try:
        with torch.no_grad(), quiet_torch(), traced, Ordered():
            program = _program_of(module, sample)
    except Exception as error:
        raise not_traced(error) from error
    _check_sizes(program)
    _check_operations(program)
    graph = graph_of(program)
    refuse_half(graph, ran, traced)
    notes = (*ran.notes, *renamed, *_notes_of_names(module))
    if not inputs:
        return Captured(graph, TensorSpec(INPUT_NAME, tuple(tensors_of(sample)[0].shape)), outputs, notes)
    _check_all_read(graph, inputs)
    image = first_image(inputs)
    assert image is not None  # check_inputs has looked
    return Captured(graph, TensorSpec(image.name, image.shape), outputs, notes)


def _notes_of_names(module: nn.Module) -> tuple[str, ...]:
    taken = [] if isinstance(module, torch.jit.ScriptModule) else taken_names(module)
    if not taken:
        return ()
    return (
        f"torch.export has a meaning of its own for the name {taken[0]}: in the file, and in messages, modules are "
        f"called model.{taken[0]}, and all others likewise",
    )


def _check_all_read(graph: Graph, inputs: Sequence[TensorInput]) -> None:
    placeholders = graph.graph.find_nodes(op="placeholder")
    for item, node in zip(inputs, placeholders, strict=True):
        if not node.users:
            raise CaptureError(
                f"the input {item.name} changes nothing: no output is computed from it",
                f"leave out --input {item.name}",
            )


def _program_of(module: nn.Module, sample: Sample) -> ExportedProgram:
    if isinstance(module, torch.jit.ScriptModule):  # no tracer sees its code
        module = to_plain_module(module, sample)
    elif taken_names(module):
        module = put_inside(module)
    return torch.export.export(module, copies_of(sample), strict=False)


def _refuse_fake_quantization(module: nn.Module) -> None:
    """Raises CaptureError for a model of quantisation-aware training: its rounding is another model than float's."""
    found = [name for name, part in module.named_modules() if isinstance(part, FakeQuantizeBase)]
    if found:
        raise CaptureError(
            f"the model rounds values as int8 would, for quantisation-aware training: {len(found)} modules, the first "
            f"is {found[0]!r}. mvd writes int8 by ranges that it measures on images, and carries over none of these",
            "put nn.Identity() in the place of each FakeQuantize before it is returned; mvd quantize makes int8 of it",
        )


def graph_of(program: ExportedProgram) -> Graph:
    """Returns a program's graph, with its weights; raises CaptureError for what no plain graph can say."""
    with torch.no_grad(), quiet_torch():
        return plain_graph(program)


def recapture(graph: Graph, sample: Sample) -> ExportedProgram:
    """Returns a rewritten graph as the program that converters take; module paths are kept."""
    with torch.no_grad(), quiet_torch():
        try:
            return torch.export.export(graph.to_module(), tensors_of(sample), strict=False)
        except Exception:  # of a view, on the strides that a rewrite has left
            return torch.export.export(on_any_strides(graph, sample).to_module(), tensors_of(sample), strict=False)


def _check_sizes(program: ExportedProgram) -> None:
    """Raises CaptureError when an output's size depends on the image's values: no fixed graph could be compared."""
    for node in program.graph.output_node().all_input_nodes:
        if not all(isinstance(size, int) for size in node.meta["val"].shape):
            raise of_no_size(node)


def _check_operations(program: ExportedProgram) -> None:
    """Raises CaptureError for rounding as in int8 that is written as calls, not as modules."""
    for node in program.graph.nodes:
        if "fake_quantize" in str(node.target):
            raise CaptureError(
                f"the model rounds values as int8 would{at(user_line(node.meta.get('stack_trace') or ''))}",
                "give the float model: mvd quantize makes int8 of it",
            )


def _run_once(
    module: nn.Module, sample: Sample, task: Task, inputs: Sequence[str], one_image: bool
) -> tuple[tuple[TensorSpec, ...], tuple[str, ...]]:
    """Returns the outputs, and a note of those that have another name in files."""
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
        tuple(TensorSpec(name, tuple(leaf.shape)) for name, (_, leaf) in zip(names, leaves, strict=True)),
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


@contextmanager
def quiet_torch() -> Iterator[None]:
    """Keeps torch.export's and the ONNX exporter's own warnings from the user, who can do nothing about them.

    What they print to stderr goes the same way: where a trace fails, torch.export prints the graph up to there.
    """
    loggers = [logging.getLogger(name) for name in QUIET]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)  # an error is raised as well
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
