"""A program in half precision: Apple's converter has no precision to choose, it keeps the types that it is given."""

import torch
from torch.export import ExportedProgram

from mobilevit_deploy.graph.capture import graph_of, recapture
from mobilevit_deploy.graph.sample import Sample

TO = torch.ops.aten.to.dtype


def convert_to_half(program: ExportedProgram, sample: Sample) -> ExportedProgram:
    """Returns a float32 program with weights and values in half precision, float32 at its borders.

    Args:
        program: as captured.
        sample: an input, (B, C, H, W) float32.
    """
    graph = graph_of(program)
    graph.cast(torch.float32, torch.float16)
    image = next(node for node in graph.nodes if node.op == "placeholder")
    image.meta["val"] = image.meta["val"].float()
    end = graph.graph.output_node()
    readers = [reader for reader in image.users if reader is not end]  # an image that is returned is not rounded
    with graph.graph.inserting_after(image):
        half = graph.graph.call_function(TO, (image, torch.float16))
    for reader in readers:
        reader.replace_input_with(image, half)
    for node in end.all_input_nodes:
        if node.meta["val"].dtype == torch.float16:
            with graph.before(end):
                end.replace_input_with(node, graph.graph.call_function(TO, (node, torch.float32)))
    return recapture(graph, sample)
