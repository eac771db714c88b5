"""The reference: the PyTorch module as it was loaded, before any rewrite, in float64; and what it loses in float32."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from mobilevit_deploy.graph.ordered import Ordered
from mobilevit_deploy.graph.replay import default_dtype
from mobilevit_deploy.graph.sample import copies_of, sample_of
from mobilevit_deploy.graph.widening import Widened
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.runners.copies import copy_module

aten = torch.ops.aten

FLOAT32_UNIT = 2.0**-24  # what one rounding moves a value by at most, as a share of it
HALF_UNIT = 2.0**-11

# A sum of so many numbers is moved too. PyTorch adds pairs, and other runtimes one number to the last sum, which loses
# more: SwiftFormer's sum of 3136 tokens 24 roundings of the largest in ONNX Runtime 1.31, and 2 in PyTorch 2.13. So do
# the statistics of norms: of cloformer_xxs at 256 px, whose group norms have 131072 numbers, ONNX Runtime's
# InstanceNormalization loses 2.5e-6 of the largest value, and PyTorch 7e-8. XNNPACK begins the sums of a layer with its
# bias: of ShuffleNet with random weights, whose last layer adds 1024 products of 1e-6 to a bias of 0.03, it loses 30
# roundings of that, and PyTorch half of one.
LONG = 1024
NEAREST = 1  # of grid_sampler's modes


Computed = Mapping[bytes, Sequence[Array]]  # the outputs of a module in float64, by the digest of a batch


class TorchRunner:
    """Runs a module in evaluation mode on the CPU."""

    name = "torch"

    def __init__(self, module: nn.Module, dtype: torch.dtype = torch.float32, computed: Computed | None = None) -> None:
        """Takes a module; for another dtype than its own float32 a copy is made, once it has to run.

        Args:
            module: in evaluation mode.
            dtype: that it computes in.
            computed: what it is known to come to in this dtype.
        """
        self._given = module
        self.settings: Mapping[str, str] = {}
        self._dtype = dtype
        self._computed = computed or {}

    @cached_property
    def module(self) -> nn.Module:
        """The module that is run."""
        return self._given if self._dtype == torch.float32 else copy_module(self._given).to(self._dtype)

    def run(self, batch: Array) -> Sequence[Array]:
        if self._computed and (known := self._computed.get(digest_of(batch))) is not None:
            return known
        # Copies: a model that writes into its input must not change the images of the next run.
        given, module = copies_of(sample_of(batch), self._dtype), self.module
        with torch.inference_mode(), default_dtype(self._dtype), Widened(self._dtype), Ordered():
            return _arrays(module(*given))


class PerturbedRunner:
    """Runs a module in float32 with everything that is given to it moved by a few roundings, at random.

    That are its weights, the pixels, and the numbers that its code makes, such as a grid to sample at. What comes out
    is what another order of sums, folded weights or another runtime may make of the same model, only more so. Whole
    numbers stay: they are exact in every precision, and code takes them for indices. Long sums are moved besides, and
    the places of a sampling that takes the nearest pixel.
    """

    name = "torch"

    def __init__(self, module: nn.Module, seed: int, amplitude: float) -> None:
        """Copies and moves the weights.

        Args:
            module: in evaluation mode.
            seed: of the choice.
            amplitude: the farthest that a number is moved, as a share of it; with the other sign, the other way.
        """
        self.settings: Mapping[str, str] = {}
        self._generator = torch.Generator()
        self._seed, self._amplitude = seed, amplitude
        self.module = copy_module(module)
        self._generator.manual_seed(seed)
        with torch.no_grad():
            for value in (*self.module.parameters(), *self.module.buffers()):
                if value.is_floating_point():
                    value.copy_(self._move(value))

    def run(self, batch: Array) -> Sequence[Array]:
        self._generator.manual_seed(self._seed)
        given = copies_of(sample_of(batch))
        # Moved by a share of the largest, as equal pixels must part: a sum over a flat image is decided by rounding.
        for item in given:
            if item.is_floating_point():
                item += self._amplitude * item.abs().max() * self._uniform(item.shape)
        with torch.inference_mode(), Widened(), Ordered(), _Made(self._move), _RoundedInside(self._move_by):
            return _arrays(self.module(*given))

    def _move(self, value: Tensor) -> Tensor:
        moved = value * (1 + self._amplitude * self._uniform(value.shape)).to(value.dtype)
        return torch.where(value == value.round(), value, moved)

    def _move_by(self, value: Tensor, lost: Tensor) -> Tensor:
        return value + (self._amplitude * self._uniform(value.shape)).to(value.dtype) * lost

    def _uniform(self, shape: torch.Size) -> Tensor:
        return 2 * torch.rand(shape, generator=self._generator, dtype=torch.float64) - 1


def _lost(rows: Tensor) -> Tensor:
    """Returns what sums along the last axis lose by each rounding of one number, (...)."""
    return rows.cumsum(-1).square().sum(-1).sqrt()


# What each norm takes its statistics of, (rows, numbers); None where it has its own.
NORMS: Mapping[Any, Callable[[Tensor, Mapping[str, Any]], Tensor | None]] = {
    aten.group_norm.default: lambda x, given: x.reshape(len(x) * given["num_groups"], -1),
    aten.instance_norm.default: lambda x, given: x.flatten(0, 1).flatten(1) if given["use_input_stats"] else None,
    aten.layer_norm.default: lambda x, given: x.flatten(-len(given["normalized_shape"])).flatten(0, -2),
}


LAYERS = (aten.linear.default, aten.conv1d.default, aten.conv2d.default)


class _Made(TorchFunctionMode):
    """Changes the floating-point tensors that code makes out of numbers, such as ``torch.linspace(0, 1, 7)``."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._change = change

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if not isinstance(made, Tensor) or not made.is_floating_point():
            return made
        given = any(isinstance(item, Tensor) for item in pytree.tree_leaves((args, kwargs or {})))
        return made if given else self._change(made)


class _RoundedInside(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch has no types for it
    """Changes what is rounded inside of an operation, given what each rounding of one number moves it by.

    Long floating-point sums and means, those of norms too: that is of the size of all sums on the way, one after the
    other, as independent errors add up (Higham and Mary, "A New Approach to Probabilistic Rounding Error Analysis",
    SIAM Journal on Scientific Computing 41, 2019). Of layers with long sums the bias alone is taken for them. Places
    of ``grid_sample``, to which one is added before the nearest pixel is taken: of a place in the middle of the image,
    between two pixels, nothing else tells that its digits decide.
    """

    def __init__(self, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._change = change

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is aten.grid_sampler.default and args[2] == NEAREST:
            x, grid, *rest = args
            return func(x, self._change(grid, 1 + grid.abs()), *rest)
        if func in NORMS:
            return self._normalise(func, *args, **(kwargs or {}))
        result = func(*args, **(kwargs or {}))
        if func in LAYERS:
            return self._begin_with_bias(result, *args[1:], **(kwargs or {}))
        if func not in (aten.sum.dim_IntList, aten.mean.dim) or not result.is_floating_point():
            return result
        x, axes = args[0], [axis % args[0].ndim for axis in args[1] or range(args[0].ndim)]
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        rows = x.permute(*kept, *axes).flatten(len(kept))
        count = rows.shape[-1]
        if count < LONG:
            return result
        lost = _lost(rows).reshape(result.shape)
        return self._change(result, lost / count if func is aten.mean.dim else lost)

    def _begin_with_bias(self, result: Tensor, weight: Tensor, bias: Tensor | None = None, *_: Any) -> Tensor:
        """Returns what a layer computes, moved by what is lost where its sums begin with the bias."""
        count = weight[0].numel()
        if bias is None or count < LONG:
            return result
        lost = bias.abs() * count**0.5
        return self._change(result, lost if weight.ndim == 2 else lost.view(-1, *[1] * (weight.ndim - 2)))

    def _normalise(self, func: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Returns a norm whose mean and variance are moved, where they are long sums."""
        names = (argument.name for argument in func._schema.arguments)
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        x: Tensor = given["input"]
        rows = NORMS[func](x, given)
        result: Tensor = func(*args, **kwargs)
        if rows is None or rows.shape[-1] < LONG:
            return result
        count = rows.shape[-1]
        mean = self._change(rows.mean(-1), _lost(rows) / count)[:, None]
        squares = (rows - mean).square()
        variance = self._change(squares.mean(-1), _lost(squares) / count)[:, None]
        normal = ((rows - mean) * (variance + given.get("eps", 1e-5)).rsqrt()).reshape(x.shape)
        for name, apply in (("weight", torch.mul), ("bias", torch.add)):
            if (own := given.get(name)) is not None:
                normal = apply(normal, own if func is aten.layer_norm.default else own.view(-1, *[1] * (x.ndim - 2)))
        moved: Tensor = normal
        return moved


def digest_of(batch: Array) -> bytes:
    """Returns the SHA-256 of a batch, its type and shape included."""
    return hashlib.sha256(f"{batch.dtype} {batch.shape}".encode() + batch.tobytes()).digest()


def _arrays(outputs: object) -> list[Array]:
    return [output.numpy() for output in pytree.tree_leaves(outputs) if isinstance(output, Tensor)]
