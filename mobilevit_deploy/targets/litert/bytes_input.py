"""An image of bytes as the input of a program that takes floating-point pixels."""

import torch
from torch.export import ExportedProgram

to_copy = torch.ops.aten._to_copy


def take_bytes(program: ExportedProgram) -> None:
    """Lets a program take values 0 to 255 as uint8, which it makes float32 first, in place.

    Args:
        program: with one input, whose normalisation is in its graph.
    """
    (name,) = program.graph_signature.user_inputs
    image = next(node for node in program.graph.nodes if node.name == name)
    readers, value = list(image.users), image.meta["val"]
    with program.graph.inserting_after(image):
        floats = program.graph.call_function(to_copy.default, (image,), {"dtype": value.dtype})
    floats.meta = {"val": value, "tensor_meta": image.meta.get("tensor_meta")}
    image.meta = {"val": value.to(torch.uint8)}
    for reader in readers:
        reader.replace_input_with(image, floats)
    ((batch,), names) = program.example_inputs
    program._example_inputs = (batch.to(torch.uint8),), names
    program.graph_module.recompile()
