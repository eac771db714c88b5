"""One graph for several image sizes, where a model has one."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.export import Dim, ExportedProgram

from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.graph.capture import graph_of
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.runners.base import Array, Runner, difference

# Float32 rounding costs 1e-6 of the largest output. A graph that holds one size's numbers raises, or is off by tenths.
SAME = 1e-4


class OneSizeError(ConversionError):
    """A graph that holds the numbers of one image size, such as those of its windows."""


def flexible_program(graph: Graph, example: Array, references: Sequence[tuple[Array, Runner]]) -> ExportedProgram:
    """Captures a graph with free height and width, and runs it at every size.

    torch.export leaves some graphs valid at one size only, without a word (LightViT, whose windows are counted): what
    it captured is therefore run before it is believed.

    Args:
        graph: as a target is given it.
        example: of the default size, (B, C, H, W).
        references: for each other size, an input as the graph takes it, and PyTorch.

    Raises:
        OneSizeError: the graph does not compute what PyTorch does at every size.
    """
    try:
        with torch.no_grad(), quiet_torch():
            shapes = ({2: Dim.AUTO, 3: Dim.AUTO},)
            program = torch.export.export(
                graph.to_module(), (torch.from_numpy(example),), dynamic_shapes=shapes, strict=False
            )
        flexible = graph_of(program)
    except Exception as error:  # torch.export and its symbolic arithmetic raise many kinds
        raise OneSizeError("its graph cannot be captured with free sizes") from error
    for image, reference in references:
        _check(flexible, image, reference)
    return program


def _check(graph: Graph, image: Array, reference: Runner) -> None:
    height, width = image.shape[2:]
    try:
        found = graph.run(torch.from_numpy(image))
    except RuntimeError as error:  # a reshape to the numbers of another size
        raise OneSizeError(f"its graph does not run at {height}x{width}") from error
    for before, after in zip(reference.run(image), found, strict=True):
        if not difference(np.asarray(before), after.numpy()) <= SAME:
            raise OneSizeError(f"its graph computes something else at {height}x{width}")
