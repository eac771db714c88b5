"""From an ``nn.Module`` to a graph of ATen calls, and from a rewritten graph to an ``ExportedProgram``."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.ao.quantization import FakeQuantizeBase
from torch.export import ExportedProgram

from mobilevit_deploy.catalog.model_card import Task
from mobilevit_deploy.catalog.tensor_input import TensorInput, first_image
from mobilevit_deploy.errors import CaptureError
from mobilevit_deploy.graph.first_run import run_twice
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.known_numbers import KnownNumbers
from mobilevit_deploy.graph.ordered import Ordered
from mobilevit_deploy.graph.plain import plain_graph
from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.graph.sample import Sample, copies_of, tensors_of
from mobilevit_deploy.graph.source_lines import user_line
from mobilevit_deploy.graph.strides import on_any_strides
from mobilevit_deploy.graph.taken_names import put_inside, taken_names
from mobilevit_deploy.graph.torchscript import to_plain_module
from mobilevit_deploy.graph.untraceable import at, not_traced, of_no_size
from mobilevit_deploy.graph.widening import Widened, refuse_half

INPUT_NAME = "input"


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
        returned, renamed = run_twice(
            module, sample, task, tuple(item.name for item in inputs) or (INPUT_NAME,), one_image
        )
    outputs = tuple(TensorSpec(name, shape) for name, shape in returned.items())
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
    with KnownNumbers(module):
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
