"""TorchScript modules, scripted or traced, by torch's own converter to what ``torch.export`` takes.

Source: ``torch._export.converter.TS2EPConverter``, which ``torch.export``'s own message names for them.
"""

import torch
from torch import fx

from mobilevit_deploy.graph.sample import Sample, copies_of

aten = torch.ops.aten
# By the number of axes that a stride has: the ops that modules call, which rewrites and converters know.
CONVOLUTIONS = {1: aten.conv1d.default, 2: aten.conv2d.default, 3: aten.conv3d.default}
TRANSPOSED = {1: aten.conv_transpose1d.default, 2: aten.conv_transpose2d.input, 3: aten.conv_transpose3d.input}


def to_plain_module(module: torch.jit.ScriptModule, sample: Sample) -> fx.GraphModule:
    """Returns a module of ATen calls that computes the same; its sizes are free, until it is exported.

    Raises:
        Exception: whatever the converter raises for what it does not know.
    """
    from torch._export.converter import TS2EPConverter  # loads Dynamo, which takes as long as PyTorch itself

    plain = TS2EPConverter(module, copies_of(sample)).convert().module()
    assert isinstance(plain, fx.GraphModule)
    for node in plain.graph.find_nodes(op="call_function", target=aten.convolution.default):
        _name_convolution(node)
    plain.recompile()
    return plain


def _name_convolution(node: fx.Node) -> None:
    """Gives a traced ``convolution`` the name and the arguments of the call that it was made by."""
    image, weight, bias, stride, padding, dilation, transposed, output_padding, groups = node.args
    assert isinstance(stride, list | tuple)
    if transposed:
        node.target = TRANSPOSED[len(stride)]
        node.args = (image, weight, bias, stride, padding, output_padding, groups, dilation)
    else:
        node.target = CONVOLUTIONS[len(stride)]
        node.args = (image, weight, bias, stride, padding, dilation, groups)
