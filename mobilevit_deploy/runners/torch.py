"""The reference: the PyTorch module as it was loaded, before any rewrite."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mobilevit_deploy.runners import Array


class TorchRunner:
    """Runs a module in evaluation mode, float32, on the CPU."""

    name = "torch"

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.settings: Mapping[str, str] = {}

    def run(self, batch: Array) -> Sequence[Array]:
        # torch.tensor copies: a model that writes into its input must not change the images of the next run.
        with torch.inference_mode():
            outputs = pytree.tree_leaves(self.module(torch.tensor(batch)))
        return [output.numpy() for output in outputs if isinstance(output, Tensor)]
