"""The pictures of rewrites: what ``torch.export`` makes of a small module, and what the rewrite makes of that.

Run: ``python -m tools.docs.rewrite_pictures``. It writes ``docs/images/rewrites/<rewrite>.svg``; a test tells when they
are not what the code makes today.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from mobilevit_deploy.graph.capture import capture
from mobilevit_deploy.graph.graph import Graph, arguments, op_name
from mobilevit_deploy.rewrites.order import REWRITES
from mobilevit_deploy.rewrites.rewrite import Rewrite, rewrite_graph
from tools.docs.drawing import Box, side_by_side
from tools.docs.rewrite_lists import family_of

FOLDER = Path(__file__).parents[2] / "docs" / "images" / "rewrites"
NAMED = ("weight", "bias", "running_mean", "running_var")  # other arguments that hold weights are called constants
LEFT_OUT = ("training", "momentum", "cudnn_enabled", "cudnn_enable")  # settings that say nothing of an exported graph


class Of(nn.Module):
    """A module from a function of its submodules and the input."""

    def __init__(self, function: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class Bias(nn.Module):
    """A relative position bias as window attentions look it up: 2 heads, windows of 3x3."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(25, 2))
        self.register_buffer("index", (torch.arange(9)[:, None] - torch.arange(9) + 12) % 25)

    def forward(self, scores: Tensor) -> Tensor:
        bias = self.table[self.get_buffer("index").view(-1)].view(9, 9, -1).permute(2, 0, 1)
        return scores + bias


@dataclass(frozen=True)
class Example:
    """A module that a rewrite is shown on, and the shape of its input."""

    module: Callable[[], nn.Module]
    shape: tuple[int, ...]


def _attention(m: Any, x: Tensor) -> Any:
    q, k, v = m.qkv(x).reshape(1, 49, 3, 2, 16).permute(2, 0, 3, 1, 4).unbind(0)
    return (q @ k.transpose(-2, -1)).softmax(-1) @ v


def _scores(m: Any, x: Tensor) -> Any:
    q = m.q(x).reshape(1, 49, 2, 16).transpose(1, 2)
    k = m.k(x).reshape(1, 49, 2, 16).transpose(1, 2)
    return ((q @ k.transpose(-2, -1)) * 0.25).softmax(-1)


def _keys(m: Any, x: Tensor) -> Any:
    return (m.q(x) @ m.k(x).transpose(-2, -1)).softmax(-1)


def _gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def _gates(m: Any, x: Tensor) -> Any:
    q, k, v = m.qkv(x).chunk(3, dim=1)
    return (q + k) * v


def _windows_of_heads(_: Any, x: Tensor) -> Any:
    windows = x.reshape(1, 2, 7, 2, 7, 32).permute(0, 1, 3, 2, 4, 5).reshape(4, 49, 32)
    return windows.reshape(4, 49, 2, 16).transpose(1, 2)


def _keys_turned_back(_: Any, x: Tensor) -> Tensor:
    heads = x.flatten(2).reshape(1, 2, 16, 49).transpose(-2, -1)
    return heads.transpose(-2, -1)


def _linears(**sizes: tuple[int, int]) -> dict[str, nn.Module]:
    return {name: nn.Linear(*size) for name, size in sizes.items()}


EXAMPLES: Mapping[str, Example] = {
    "split_unbound_convolution": Example(lambda: Of(_attention, **_linears(qkv=(32, 96))), (1, 49, 32)),
    "fold_scale": Example(lambda: Of(_scores, **_linears(q=(32, 32), k=(32, 32))), (1, 49, 32)),
    "drop_key_bias": Example(lambda: Of(_keys, **_linears(q=(32, 16), k=(32, 16))), (1, 49, 32)),
    "split_convolution": Example(lambda: Of(_gates, qkv=nn.Conv2d(16, 48, 1)), (1, 16, 14, 14)),
    "merge_linears": Example(
        lambda: Of(lambda m, x: (m.head(x) + m.dist_head(x)) / 2, **_linears(head=(32, 10), dist_head=(32, 10))),
        (1, 32),
    ),
    "fold_batch_norm": Example(
        lambda: Of(lambda m, x: m.conv2(m.norm2(m.norm1(m.conv1(x)).relu())), **_pre_norm()), (1, 8, 14, 14)
    ),
    "decompose_layer_norm": Example(lambda: Of(lambda m, x: m.norm(x), norm=nn.LayerNorm(32)), (1, 49, 32)),
    "fuse_gelu": Example(lambda: Of(lambda _, x: _gelu(x)), (1, 64, 14, 14)),
    "decompose_tanh_gelu": Example(lambda: Of(lambda _, x: nn.functional.gelu(x, approximate="tanh")), (1, 64, 14, 14)),
    "move_average_pool": Example(
        lambda: Of(lambda m, x: m.pool(m.conv(x)), conv=nn.Conv2d(32, 16, 1), pool=nn.AvgPool2d(2)), (1, 32, 14, 14)
    ),
    "split_average_pool": Example(lambda: Of(lambda m, x: m.pool(x), pool=nn.AvgPool2d(8)), (1, 16, 56, 56)),
    "merge_movements": Example(lambda: Of(_windows_of_heads), (1, 14, 14, 32)),
    "merge_views": Example(lambda: Of(_keys_turned_back), (1, 32, 7, 7)),
    "replace_roll": Example(lambda: Of(lambda _, x: torch.roll(x, -3, 1)), (1, 14, 14, 32)),
    "fold_constants": Example(Bias, (1, 2, 9, 9)),
    "replace_clamp": Example(
        lambda: Of(lambda _, x: torch.clamp(x, x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True) / 2)),
        (1, 16, 14, 14),
    ),
    "replace_reciprocal": Example(
        lambda: Of(lambda _, x: x * torch.rsqrt((x * x).mean(1, keepdim=True))), (1, 16, 7, 7)
    ),
}


def _pre_norm() -> dict[str, nn.Module]:
    return {
        "conv1": nn.Conv2d(8, 16, 3, padding=1, bias=False),
        "norm1": nn.BatchNorm2d(16),
        "norm2": nn.BatchNorm2d(16),
        "conv2": nn.Conv2d(16, 32, 1),
    }


def rewrite_named(name: str) -> Rewrite:
    """Returns a rewrite by its name."""
    return next(rewrite for rewrite in REWRITES if rewrite.name == name)


def picture(name: str) -> str:
    """Returns a rewrite's picture.

    Raises:
        ValueError: it does not fire on its example, or is not proved there.
    """
    example = EXAMPLES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = example.module().eval()
        for key, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.uniform_(0.5 if key.endswith("running_var") else -1.0, 1.5)
        sample = torch.randn(example.shape)
    before = capture(module, sample, "classify").graph
    rewritten = rewrite_graph(before, [rewrite_named(name)], sample)
    (result,) = rewritten.results
    if not result.applied:
        raise ValueError(f"{name} does not fire: {result.refused}")
    after = rewritten.graph
    return side_by_side(f"{name}: a graph before and after", list(_boxes(before, after)), list(_boxes(after, before)))


def _boxes(graph: Graph, other: Graph) -> Iterator[Box]:
    """Yields a graph's nodes as they are drawn; weights stand in the boxes of the calls that read them."""
    others = {node.name: node for node in other.nodes}
    for node in graph.nodes:
        if node.op == "get_attr":
            continue
        reads = tuple(read.name for read in node.all_input_nodes if read.op != "get_attr")
        lines = tuple(_lines(graph, node))
        twin = others.get(node.name)
        same = twin is not None and lines == tuple(_lines(other, twin)) and _same_weights(graph, node, other, twin)
        yield Box(node.name, lines, reads, changed=not same and node.op == "call_function")


def _same_weights(graph: Graph, node: Node, other: Graph, twin: Node) -> bool:
    own, their = _weights(graph, node), _weights(other, twin)
    return len(own) == len(their) and all(torch.equal(a, b) for a, b in zip(own, their, strict=True))


def _weights(graph: Graph, node: Node) -> list[Tensor]:
    found = (graph.weight(read) for read in node.all_input_nodes)
    return [weight for weight in found if weight is not None]


def _lines(graph: Graph, node: Node) -> Iterator[str]:
    if node.op == "placeholder":
        yield "input"
        yield _shape(node)
    elif node.op == "output":
        yield "output"
    elif node.target is operator.getitem:
        yield f"[{node.args[1]}]"
        yield _shape(node)
    else:
        yield op_name(node)
        yield from _settings(graph, node)
        if isinstance(node.meta["val"], Tensor):
            yield _shape(node)


def _shape(node: Node) -> str:
    return "x".join(map(str, node.meta["val"].shape)) or "a number"


def _settings(graph: Graph, node: Node) -> Iterator[str]:
    """Yields a call's weights by their shapes, and what else it is given, where that is not the default."""
    assert isinstance(node.target, torch._ops.OpOverload)
    defaults = {item.name: item.default_value for item in node.target._schema.arguments}
    weights, settings = [], []
    for name, value in arguments(node).items():
        values = value if isinstance(value, list | tuple) else [value]
        stored = [weight for item in values if (weight := graph.weight(item)) is not None]
        if stored:
            word = name if name in NAMED else "constant"
            weights += [f"{word} {'x'.join(map(str, weight.shape))}".strip() for weight in stored]
        elif name not in LEFT_OUT and not any(isinstance(item, Node) for item in values) and value != defaults[name]:
            settings.append(f"{name} {_number(value)}")
    yield from weights
    if settings:
        yield ", ".join(settings)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Writes every picture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in EXAMPLES:
        (FOLDER / f"{name}.svg").write_text(picture(name), encoding="utf-8")
        print(f"{FOLDER.name}/{name}.svg, of {family_of(rewrite_named(name))}")


if __name__ == "__main__":
    main()
