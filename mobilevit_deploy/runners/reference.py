"""The reference: the PyTorch module as it was loaded, before any rewrite."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.replay import default_dtype
from mobilevit_deploy.runners.base import Array


class TorchRunner:
    """Runs a module in evaluation mode on the CPU."""

    name = "torch"

    def __init__(self, module: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        """Takes a module; for another dtype than its own float32 a copy is made."""
        self.module = module if dtype == torch.float32 else copy.deepcopy(module).to(dtype)
        self.settings: Mapping[str, str] = {}
        self._dtype = dtype

    def run(self, batch: Array) -> Sequence[Array]:
        # torch.tensor copies: a model that writes into its input must not change the images of the next run.
        with torch.inference_mode(), default_dtype(self._dtype):
            outputs = pytree.tree_leaves(self.module(torch.tensor(batch, dtype=self._dtype)))
        return [output.numpy() for output in outputs if isinstance(output, Tensor)]
