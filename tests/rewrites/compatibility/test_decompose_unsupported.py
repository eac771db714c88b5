"""Each definition, and PyTorch's own decompositions, beside the op itself in float64."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, module_path, op_name
from mobilevit_deploy.rewrites import decomposition
from mobilevit_deploy.rewrites.compatibility import decompose_unsupported
from mobilevit_deploy.rewrites.compatibility.decompose_unsupported import DecomposeUnsupported, Takes
from mobilevit_deploy.rewrites.constants.fold_constants import FoldConstants
from mobilevit_deploy.rewrites.layout.remove_identities import RemoveIdentities
from tests.rewrites.conftest import Apply, Of

aten = torch.ops.aten
PROPERTY = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def lacking(*names: str) -> DecomposeUnsupported:
    """Returns the rewrite for a target that takes all but these ops."""
    return DecomposeUnsupported(lambda node: op_name(node) not in names, [RemoveIdentities(), FoldConstants()])


def check(apply: Apply, function: Callable[..., Any], op: str, *shape: int, **modules: nn.Module) -> Graph:
    """Rewrites a function that uses one op of a name, and returns the graph without it."""
    result, rewritten = apply(Of(function, **modules), lacking(op), *shape)
    assert result.applied, result.refused
    assert result.refused == ()
    assert op not in rewritten.graph.histogram()
    return rewritten.graph


@pytest.mark.parametrize(
    ("op", "function"),
    [
        ("addcmul", lambda m, x: torch.addcmul(x, x, x + 1, value=0.5)),
        ("addcdiv", lambda m, x: torch.addcdiv(x, x, x.abs() + 1, value=0.5)),
        ("celu", lambda m, x: F.celu(x, 0.7)),
        ("fmod", lambda m, x: torch.fmod(x, -0.7) + torch.fmod(x, x.abs() + 0.3)),
        ("expm1", lambda m, x: torch.expm1(x)),
        ("log1p", lambda m, x: torch.log1p(x.abs())),
        ("log2", lambda m, x: torch.log2(x.abs() + 1)),
        ("log10", lambda m, x: torch.log10(x.abs() + 1)),
        ("trunc", lambda m, x: torch.trunc(3 * x)),
        ("atan2", lambda m, x: torch.atan2(x.relu(), (-x).relu().flip(1)) + torch.atan2(x, x.flip(2))),
        ("log_sigmoid", lambda m, x: F.logsigmoid(100 * x)),
        ("cosine_similarity", lambda m, x: F.cosine_similarity(x, x.flip(1), 1)),
        ("einsum", lambda m, x: torch.einsum("...chw,...cxy->...hwxy", x, x)),
        ("hypot", lambda m, x: torch.hypot(x, x.flip(1))),
        ("asinh", lambda m, x: torch.asinh(x) + torch.asinh(1e-3 * x)),
        ("acosh", lambda m, x: torch.acosh(1 + x.abs())),
        ("bilinear", lambda m, x: F.bilinear(x, x.flip(1), torch.arange(50.0).view(2, 5, 5).sin(), torch.ones(2))),
        ("linear", lambda m, x: F.linear(x, torch.arange(5.0).sin(), torch.tensor(0.5)) + x.mean()),
        ("mish", lambda m, x: F.mish(x)),
        ("exp2", lambda m, x: torch.exp2(x)),
        (
            "xlogy",
            lambda m, x: torch.xlogy(x.relu(), x.abs() + 1) + torch.xlogy(x, 2.0) + torch.xlogy(2.0, x.abs() + 1),
        ),
        ("erfc", lambda m, x: torch.erfc(x)),
        ("special_erfc", lambda m, x: torch.special.erfc(x)),
        ("signbit", lambda m, x: torch.signbit(x).to(x.dtype)),
        ("copysign", lambda m, x: torch.copysign(x, x.flip(1)) + torch.copysign(x, -2.0)),
        ("angle", lambda m, x: torch.angle(x)),
        ("fmax", lambda m, x: torch.fmax(x, x.flip(1))),
        ("fmin", lambda m, x: torch.fmin(torch.where(x > 1, float("nan"), x), x.clamp(max=1))),
    ],
)
def test_elementwise_and_products(apply: Apply, op: str, function: Callable[..., Any]) -> None:
    check(apply, function, op, 1, 3, 4, 5)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 12])
def test_products(apply: Apply, length: int) -> None:
    check(apply, lambda m, x: x[..., :length].prod(-1), "prod", 2, 3, 4, 12)
    check(apply, lambda m, x: x[:, :, 0, :length].prod(2, keepdim=True) + x[0, 0, 0, :3].prod(), "prod", 2, 3, 4, 12)


@pytest.mark.parametrize("p", [1.0, 2.0, float("inf")])
def test_distances(apply: Apply, p: float) -> None:
    check(apply, lambda m, x: torch.cdist(x[:, 0], x[:, 1, :3], p), "cdist", 2, 2, 5, 4)


def is_plain(pool: Node) -> bool:
    return not arguments(pool)["divisor_override"] and not arguments(pool)["ceil_mode"]


@given(data=st.data())
@PROPERTY
def test_a_pool_with_windows_that_hang_over_or_a_divisor_of_its_own(apply: Apply, data: st.DataObject) -> None:
    kernel, stride = data.draw(st.integers(2, 4)), data.draw(st.integers(1, 3))
    padding, ceil = data.draw(st.integers(0, kernel // 2)), data.draw(st.booleans())
    counted, divisor = data.draw(st.booleans()), data.draw(st.integers(1, 5) if not ceil else st.none() | st.just(3))
    pool = partial(F.avg_pool2d, kernel_size=kernel, stride=stride, padding=padding, ceil_mode=ceil)
    shape = (2, 3, *data.draw(st.tuples(st.integers(4, 7), st.integers(4, 7))))
    rewritten, _ = apply(
        Of(lambda m, x: pool(x, count_include_pad=counted, divisor_override=divisor)),
        DecomposeUnsupported(lambda node: op_name(node) != "avg_pool2d" or is_plain(node)),
        *shape,
    )
    assert len(rewritten.applied) == 1


def put(write: Callable[[Tensor], None]) -> Callable[..., Tensor]:
    def function(_: nn.Module, x: Tensor) -> Tensor:
        y = x.clone()
        write(y)
        return y

    return function


@pytest.mark.parametrize(
    "write",
    [
        lambda y: y.__setitem__((slice(None), [2, -1]), 0.5),
        lambda y: y.__setitem__((slice(None), [2, 0]), y[:, :2] * 2),
        lambda y: y.__setitem__((slice(None), slice(None), [0, 1], [2, -4]), y[0, :, :2, 0]),
        lambda y: y.__setitem__((slice(None), torch.tensor([[0, 1], [2, 2]])), y[:, :1, None]),
        lambda y: y.__setitem__((slice(None), torch.arange(3) % 2 == 0), 0.0),
        lambda y: y.__setitem__(y > 0, 0.5),
        lambda y: aten.index_put_(y, [None, None, torch.tensor([1, 1, 3])], y[:, :, :3], True),
        lambda y: y.__setitem__((0, y[0, :, 0, 0].topk(2).indices), 1.0),
    ],
)
def test_values_written_by_index(apply: Apply, write: Callable[[Tensor], None]) -> None:
    check(apply, put(write), "index_put", 2, 3, 4, 5)


@given(data=st.data())
@PROPERTY
def test_windows_cut_out_and_added_up(apply: Apply, data: st.DataObject) -> None:
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = (data.draw(pair) for _ in range(3))
    padding = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))

    def cut_and_add(_: nn.Module, x: Tensor) -> Tensor:
        windows = F.unfold(x, kernel, dilation, padding, stride)
        return F.fold(windows * 2, (7, 8), kernel, dilation, padding, stride)

    result, rewritten = apply(Of(cut_and_add), lacking("im2col", "col2im"), 2, 3, 7, 8)
    assert len(result.applied) == 2
    assert {"conv2d", "conv_transpose2d"} <= set(rewritten.graph.histogram())
    assert not {"index", "index_put", "_unsafe_index_put"} & set(rewritten.graph.histogram())


@given(size=st.integers(1, 8), step=st.integers(1, 9), axis=st.integers(-2, -1))
@PROPERTY
def test_windows_along_an_axis(apply: Apply, size: int, step: int, axis: int) -> None:
    check(apply, lambda m, x: x.unfold(axis, size, step), "unfold", 1, 2, 9, 8)


@given(widths=st.lists(st.integers(0, 4), min_size=4, max_size=4).filter(any))
@PROPERTY
def test_circular_padding(apply: Apply, widths: list[int]) -> None:
    check(apply, lambda m, x: F.pad(x, widths, mode="circular"), "pad", 1, 2, 4, 5)


@given(widths=st.lists(st.integers(-1, 2), min_size=4, max_size=4).filter(lambda found: min(found) < 0))
@PROPERTY
def test_padding_that_cuts(apply: Apply, widths: list[int]) -> None:
    check(apply, lambda m, x: torch.constant_pad_nd(x, widths, 0.5), "constant_pad_nd", 1, 2, 4, 5)


@given(size=st.tuples(st.integers(1, 9), st.integers(1, 9)))
@PROPERTY
def test_adaptive_pools(apply: Apply, size: tuple[int, int]) -> None:
    check(apply, lambda m, x: F.adaptive_max_pool2d(x, size), "adaptive_max_pool2d", 1, 2, 6, 9)
    check(apply, lambda m, x: F.adaptive_avg_pool2d(x, size), "adaptive_avg_pool2d", 1, 2, 6, 9)


@pytest.mark.parametrize("pool", ["max_pool1d", "max_pool2d"])
def test_a_pool_without_a_stride(apply: Apply, pool: str) -> None:
    def has_stride(node: Any) -> bool:
        return op_name(node) != pool or len(node.args) > 2

    function = getattr(F, pool)
    result, _ = apply(Of(lambda m, x: function(x[0], 2)), DecomposeUnsupported(has_stride), 1, 2, 6, 6)
    assert len(result.applied) == 1


def test_what_is_left_of_a_number_after_division(apply: Apply) -> None:
    takes: Takes = lambda node: node.target not in (aten.remainder.Scalar_Tensor, aten.remainder.Scalar)  # noqa: E731
    function: Callable[..., Any] = lambda m, x: torch.remainder(2.5, x) + torch.remainder(x, -0.3)  # noqa: E731
    result, _ = apply(Of(function), DecomposeUnsupported(takes), 1, 3, 4, 5)
    assert len(result.applied) == 2


@pytest.mark.parametrize(
    ("op", "function"),
    [
        (
            "sort",
            lambda m, x: torch.cat(torch.sort(x, 1, descending=True), 3) + torch.sort(x, 1).values.repeat(1, 1, 1, 2),
        ),
        ("kthvalue", lambda m, x: torch.cat(torch.kthvalue(x, 2, 1, True), 3)),
        ("median", lambda m, x: torch.cat(torch.median(x, 2), 1)),
        ("quantile", lambda m, x: torch.quantile(x, 0.3, 1) * torch.quantile(x, 0.7)),
        ("quantile", lambda m, x: torch.quantile(x, 1.0, 3, keepdim=True) + torch.quantile(x, 0.0, keepdim=True)),
        ("quantile", lambda m, x: torch.quantile(x, 0.4, 2, interpolation="midpoint")),
        ("quantile", lambda m, x: torch.quantile(x, 0.4, 1, interpolation="nearest")),
        ("cummax", lambda m, x: torch.cat(x.round().cummax(-1), 1) + x.cummax(0).values.sum()),
        ("cummin", lambda m, x: torch.cat(x.round().cummin(1), 1)),
        ("searchsorted", lambda m, x: torch.searchsorted(torch.tensor([-1.0, 0, 0.5, 1]), x)),
        ("searchsorted", lambda m, x: torch.searchsorted(torch.tensor([-1.0, 0, 1]), x.round(), right=True)),
        ("instance_norm", lambda m, x: m.norm(x)),
        ("instance_norm", lambda m, x: F.instance_norm(x[0], eps=0.1)),
        ("var", lambda m, x: x.var((2, 3), keepdim=True) * x.std(1, keepdim=True, unbiased=False)),
        ("var", lambda m, x: x.var() * x.var(correction=2)),
        ("group_norm", lambda m, x: F.group_norm(x, 5) + F.group_norm(x[:, :4], 2, eps=0.1).mean()),
        ("group_norm", lambda m, x: F.group_norm(x[:, :, 0, 0], 1) + m.groups(x).mean()),
    ],
)
def test_orders_and_norms(apply: Apply, op: str, function: Callable[..., Any]) -> None:
    check(apply, function, op, 2, 5, 3, 4, norm=nn.InstanceNorm2d(5, affine=True), groups=nn.GroupNorm(1, 5))


def test_a_sort_that_keeps_the_order_of_equals_is_left(apply: Apply) -> None:
    result, _ = apply(Of(lambda m, x: x.sort(stable=True).values), lacking("sort"), 1, 2, 3, 4)
    assert "keeps the order of equal values" in result.refused[0].reason


@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 2)),
    padding=st.integers(0, 1),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2, 4]),
)
@PROPERTY
def test_windows_over_volumes(apply: Apply, kernel: Any, stride: Any, padding: int, dilation: int, groups: int) -> None:
    layer = nn.Conv3d(4, 8, kernel, stride, padding, dilation, groups)
    graph = check(apply, lambda m, x: m.layer(x.view(2, 4, 5, 6, 7)), "conv3d", 2, 20, 6, 7, layer=layer)
    assert "conv2d" in graph.histogram()
    inside = [min(padding, size // 2) for size in kernel]
    pool: Callable[..., Any] = lambda m, x: F.avg_pool3d(x.view(2, 4, 5, 6, 7), kernel, stride, inside)  # noqa: E731
    check(apply, pool, "avg_pool3d", 2, 20, 6, 7)
    check(apply, lambda m, x: F.avg_pool3d(x, kernel, None), "avg_pool3d", 4, 5, 6, 7)


@given(data=st.data())
@PROPERTY
def test_borders_cut_off_a_transposed_convolution(apply: Apply, data: st.DataObject) -> None:
    kernel, padding = data.draw(st.tuples(*2 * [st.integers(2, 4)])), data.draw(st.tuples(*2 * [st.integers(1, 2)]))
    stride, groups = data.draw(st.tuples(*2 * [st.integers(2, 3)])), data.draw(st.sampled_from([1, 2]))
    layer = nn.ConvTranspose2d(4, 6, kernel, stride, padding, data.draw(st.sampled_from([0, 1])), groups)
    lacks = DecomposeUnsupported(
        lambda node: op_name(node) != "conv_transpose2d" or not any(arguments(node)["padding"])
    )
    result, rewritten = apply(Of(lambda m, x: m.layer(x), layer=layer), lacks, 1, 4, 5, 6)
    assert result.applied, result.refused
    (call,) = rewritten.graph.calls(aten.conv_transpose2d)
    assert arguments(call)["padding"] == [0, 0]


@given(data=st.data())
@PROPERTY
def test_a_transposed_convolution_whose_kernel_has_gaps(apply: Apply, data: st.DataObject) -> None:
    kernel, apart, stride = (data.draw(st.tuples(*2 * [st.integers(1, 3)])) for _ in range(3))
    padding = data.draw(st.sampled_from([0, 1]))
    assume(max(apart) > 1 and all((size - 1) * gap >= padding for size, gap in zip(kernel, apart, strict=True)))
    layer = nn.ConvTranspose2d(4, 6, kernel, stride, padding, groups=data.draw(st.sampled_from([1, 2])), dilation=apart)
    lacks = DecomposeUnsupported(
        lambda node: op_name(node) != "conv_transpose2d" or max(arguments(node)["dilation"]) == 1
    )
    result, rewritten = apply(Of(lambda m, x: m.layer(x), layer=layer), lacks, 1, 4, 5, 6)
    assert result.applied, result.refused
    (call,) = rewritten.graph.calls(aten.conv_transpose2d)
    assert arguments(call)["dilation"] == [1, 1]


def test_the_smallest_values_by_the_largest(apply: Apply) -> None:
    lacks = DecomposeUnsupported(lambda node: op_name(node) != "topk" or arguments(node)["largest"])
    model = Of(lambda m, x: torch.cat(x.topk(2, 1, largest=False)[:1], 0))
    result, _ = apply(model, lacks, 1, 4, 5, 6)
    assert result.applied, result.refused


RECURRENT = {
    "lstm": nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True),
    "gru": nn.GRU(4, 3, 2, bidirectional=True),
    "rnn_tanh": nn.RNN(4, 3, bias=False),
    "rnn_relu": nn.RNN(4, 3, nonlinearity="relu", batch_first=True),
}


PLAIN_RECURRENT: dict[str, Callable[..., nn.Module]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn_tanh": nn.RNN,
    "rnn_relu": partial(nn.RNN, nonlinearity="relu"),
}


@pytest.mark.parametrize("op", RECURRENT)
def test_recurrent_layers(apply: Apply, op: str) -> None:
    graph = check(apply, lambda m, x: m.layer(x[0]), op, 1, 5, 6, 4, layer=RECURRENT[op].eval())
    assert not {"index", "index_put", "select_scatter"} & set(graph.histogram())


@given(data=st.data())
@PROPERTY
def test_attention_of_any_rank(apply: Apply, data: st.DataObject) -> None:
    rank = data.draw(st.integers(2, 6).filter(lambda found: found != 4), label="rank")
    lead = (2, 1, 3, 2)[: rank - 2]
    shared = rank > 2 and data.draw(st.booleans(), label="grouped")
    causal = data.draw(st.booleans(), label="causal")
    scale = data.draw(st.sampled_from([None, 0.3]), label="scale")
    mask = None if causal else data.draw(st.sampled_from([None, "bool", "float"]), label="mask")
    broad = data.draw(st.booleans(), label="a mask for each head")

    def attend(_: nn.Module, x: Tensor) -> Tensor:
        query = x[0, 0].expand(*lead, 4, 6)
        heads = query.repeat_interleave(2, -3) * torch.arange(1, 2 * lead[-1] + 1)[:, None, None] if shared else query
        allowed = torch.ones((*lead, 4, 4) if broad else (4, 4)).tril()
        given = {None: None, "bool": allowed.bool(), "float": allowed * 3}[mask]
        if shared and broad and given is not None:
            given = given.repeat_interleave(2, -3)
        return F.scaled_dot_product_attention(
            heads, query * 2, query + 1, given, is_causal=causal, scale=scale, enable_gqa=shared
        )

    def rank_4(node: Any) -> bool:
        return op_name(node) != "scaled_dot_product_attention" or (
            node.meta["val"].dim() == 4 and not node.kwargs.get("enable_gqa")
        )

    result, rewritten = apply(Of(attend), DecomposeUnsupported(rank_4), 1, 1, 4, 6)
    assert len(result.applied) == 1, result.refused
    assert rewritten.graph.histogram()["scaled_dot_product_attention"] == 1
    check(apply, attend, "scaled_dot_product_attention", 1, 1, 4, 6)


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_a_query_that_may_look_at_nothing_gets_zeros(apply: Apply, rank: int) -> None:
    def attend(_m: nn.Module, x: Tensor) -> Tensor:
        x = x.reshape(*[1] * (rank - 3), 2, 4, 6)
        seen = (x[..., 0] > 0).unsqueeze(-1) & torch.tensor([True, False, True, True])
        return F.scaled_dot_product_attention(x, x, x, seen & (torch.arange(4) != 2).unsqueeze(-1))

    check(apply, attend, "scaled_dot_product_attention", 1, 2, 4, 6)


def test_takes_only_what_is_lacking_and_keeps_its_place(apply: Apply) -> None:
    celu = nn.CELU()
    result, rewritten = apply(Of(lambda m, x: m.first(x) + torch.mul(x, 2), first=celu), lacking("celu"), 1, 2, 3, 3)
    assert result.applied == ("first",)
    names = [(op_name(node), module_path(node)) for node in rewritten.graph.nodes if op_name(node)]
    assert ("mul", "") in names
    assert ("where", "first") in names


def test_refuses_with_a_reason(apply: Apply) -> None:
    result, _ = apply(Of(lambda m, x: x.exp()), lacking("exp"), 1, 2, 3, 3)
    assert "nothing smaller than exp" in result.refused[0].reason


def test_refuses_an_op_that_cannot_be_taken_apart_to_the_end(apply: Apply) -> None:
    takes: Takes = lambda node: op_name(node) not in ("celu", "where")  # noqa: E731
    result, rewritten = apply(Of(lambda m, x: F.celu(x)), DecomposeUnsupported(takes), 1, 2, 3, 3)
    assert result.applied == ()
    assert rewritten.graph.histogram() == {"celu": 1}


@pytest.mark.parametrize(
    ("op", "module", "wrong"),
    [
        (aten.fmod.Scalar, Of(lambda m, x: torch.fmod(x, 0.3)), torch.remainder),
        (
            aten.unfold.default,
            Of(lambda m, x: x.unfold(2, 2, 1)),
            lambda x, axis, size, step: torch.stack([x[:, :, 1:], x[:, :, :-1]], -1),
        ),
        (
            aten.scaled_dot_product_attention.default,
            Of(lambda m, x: F.scaled_dot_product_attention(x, x, x)),
            lambda q, k, v: torch.softmax(q @ k.transpose(-2, -1), -1) @ v,
        ),
    ],
)
def test_a_wrong_version_is_caught(
    apply: Apply, monkeypatch: pytest.MonkeyPatch, op: Any, module: nn.Module, wrong: Callable[..., Any]
) -> None:
    name = op._schema.name.removeprefix("aten::")
    monkeypatch.setitem(decomposition._DEFINITIONS, op, wrong)
    result, _ = apply(module, lacking(name), 1, 2, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason


def _all_ones(size: int, **settings: Any) -> Tensor:
    return torch.ones(size, size, **settings)


def _backwards(parts: list[Tensor], axis: int) -> Tensor:
    return torch.cat(parts[::-1], axis)


def _one_more(shape: list[int], value: float, **settings: Any) -> Tensor:
    return torch.full(shape, value + 1, **settings)


def _from_the_other_end(x: Tensor, count: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    values, places = torch.topk(x, count, axis, not largest)
    return values, places


def _the_first(x: Tensor, axis: int, _: int, length: int) -> Tensor:
    return x.narrow(axis, 0, length)


# Of each definition: the op, a call of it, and one of its parts with what it becomes in a wrong version.
SPOILED: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "lstm": (lambda m, x: m.layer(x[0])[0], aten.sigmoid.default, aten.tanh.default),
    "gru": (lambda m, x: m.layer(x[0])[0], aten.sigmoid.default, aten.tanh.default),
    "rnn_tanh": (lambda m, x: m.layer(x[0])[0], aten.tanh.default, aten.sigmoid.default),
    "rnn_relu": (lambda m, x: m.layer(x[0])[0], aten.relu.default, aten.tanh.default),
    "im2col": (lambda m, x: F.unfold(x, 2), aten.eye.default, _all_ones),
    "col2im": (lambda m, x: F.fold(x.view(1, 12, 4), 3, 2), aten.eye.default, _all_ones),
    "pad": (lambda m, x: F.pad(x[0], (1, 2), mode="circular"), aten.cat.default, _backwards),
    "_pad_circular": (lambda m, x: aten._pad_circular(x[0], (1, 2)), aten.cat.default, _backwards),
    "constant_pad_nd": (lambda m, x: torch.constant_pad_nd(x, [-1, 2]), aten.narrow.default, _the_first),
    "adaptive_max_pool2d": (lambda m, x: F.adaptive_max_pool2d(x, 3), aten.amax.default, aten.amin.default),
    "adaptive_avg_pool2d": (lambda m, x: F.adaptive_avg_pool2d(x, 3), aten.mean.dim, aten.sum.dim_IntList),
    "zeros_like": (lambda m, x: x + torch.zeros_like(x > 0, dtype=x.dtype), aten.full.default, _one_more),
    "cdist": (lambda m, x: torch.cdist(x, x + 1), aten.sum.dim_IntList, aten.mean.dim),
    "bilinear": (lambda m, x: F.bilinear(x, x, torch.ones(2, 4, 4)), aten.mul.Tensor, aten.add.Tensor),
    "fmod": (lambda m, x: torch.fmod(x, 0.3), aten.abs.default, aten.neg.default),
    "expm1": (lambda m, x: torch.expm1(x), aten.sub.Tensor, aten.add.Tensor),
    "log1p": (lambda m, x: torch.log1p(x.abs()), aten.add.Tensor, aten.sub.Tensor),
    "log2": (lambda m, x: torch.log2(x.abs() + 1), aten.mul.Tensor, aten.div.Tensor),
    "log10": (lambda m, x: torch.log10(x.abs() + 1), aten.mul.Tensor, aten.div.Tensor),
    "trunc": (lambda m, x: torch.trunc(3 * x), aten.floor.default, aten.ceil.default),
    "atan2": (lambda m, x: torch.atan2(x, x.flip(2)), aten.atan.default, aten.tanh.default),
    "log_sigmoid": (lambda m, x: F.logsigmoid(x), aten.exp.default, aten.expm1.default),
    "hypot": (lambda m, x: torch.hypot(x, x.flip(1)), aten.add.Tensor, aten.maximum.default),
    "asinh": (lambda m, x: torch.asinh(x), aten.sqrt.default, aten.abs.default),
    "acosh": (lambda m, x: torch.acosh(1 + x.abs()), aten.sqrt.default, aten.square.default),
    "exp2": (lambda m, x: torch.exp2(x), aten.mul.Tensor, aten.div.Tensor),
    "xlogy": (lambda m, x: torch.xlogy(x, x.abs() + 1), aten.log.default, aten.log2.default),
    "erfc": (lambda m, x: torch.erfc(x), aten.erf.default, aten.tanh.default),
    "signbit": (lambda m, x: torch.signbit(x).to(x.dtype), aten.lt.Scalar, aten.gt.Scalar),
    "copysign": (lambda m, x: torch.copysign(x, x.flip(1)), aten.lt.Scalar, aten.gt.Scalar),
    "angle": (lambda m, x: torch.angle(x), aten.lt.Scalar, aten.gt.Scalar),
    "fmax": (lambda m, x: torch.fmax(x, x.flip(1)), aten.maximum.default, aten.minimum.default),
    "fmin": (lambda m, x: torch.fmin(x, x.flip(1)), aten.minimum.default, aten.maximum.default),
    "remainder": (lambda m, x: torch.remainder(2.5, x), aten.remainder.Tensor, aten.fmod.Tensor),
    "max_pool1d": (lambda m, x: F.max_pool1d(x[0], 2), aten.max_pool1d.default, F.avg_pool1d),
    "max_pool2d_with_indices": (
        lambda m, x: F.max_pool2d(x, 2, return_indices=True)[0],
        aten.max_pool2d.default,
        F.avg_pool2d,
    ),
    "max_pool2d": (lambda m, x: F.max_pool2d(x, 2), aten.max_pool2d.default, F.avg_pool2d),
    "sort": (lambda m, x: x.sort(-1, descending=True).values, aten.topk.default, _from_the_other_end),
    "kthvalue": (lambda m, x: x.kthvalue(2).values, aten.topk.default, _from_the_other_end),
    "median": (lambda m, x: x.median(2).values, aten.topk.default, _from_the_other_end),
    "quantile": (lambda m, x: torch.quantile(x, 0.3, 1), aten.topk.default, _from_the_other_end),
    "cummax": (lambda m, x: x.cummax(1).values, aten.ge.Tensor, aten.le.Tensor),
    "cummin": (lambda m, x: x.cummin(1).values, aten.le.Tensor, aten.ge.Tensor),
    "searchsorted": (lambda m, x: torch.searchsorted(x[0, 0, 0].sort().values, x), aten.lt.Tensor, aten.gt.Tensor),
    "instance_norm": (lambda m, x: F.instance_norm(x, eps=0.1), aten.rsqrt.default, aten.reciprocal.default),
    "var": (lambda m, x: x.var(1), aten.sum.dim_IntList, aten.mean.dim),
    "mean": (lambda m, x: x - x.mean(), aten.mean.dim, aten.sum.dim_IntList),
    "sum": (lambda m, x: x - x.sum(), aten.sum.dim_IntList, aten.mean.dim),
    "max": (lambda m, x: x - x.max(), aten.amax.default, aten.amin.default),
    "min": (lambda m, x: x - x.min(), aten.amin.default, aten.amax.default),
    "batch_norm": (
        lambda m, x: F.batch_norm(x, None, None, training=True, eps=0.1),
        aten.rsqrt.default,
        aten.reciprocal.default,
    ),
    "group_norm": (lambda m, x: F.group_norm(x, 3, eps=0.1), aten.rsqrt.default, aten.reciprocal.default),
    "conv3d": (lambda m, x: F.conv3d(x[:, None], torch.arange(4.0).view(2, 1, 2, 1, 1)), aten.cat.default, _backwards),
    "avg_pool3d": (lambda m, x: F.avg_pool3d(x, 2, 1), aten.add.Tensor, aten.maximum.default),
    "linear": (
        lambda m, x: F.linear(x, torch.arange(8.0).view(2, 4)),
        aten.linear.default,
        lambda x, weight: F.linear(x.flip(0), weight),
    ),
    "conv_transpose2d": (
        lambda m, x: F.conv_transpose2d(x, torch.arange(54.0).view(3, 2, 3, 3), None, 2, 1),
        aten.narrow.default,
        lambda x, axis, start, length: x.narrow(axis, 0, length),
    ),
    "avg_pool2d": (lambda m, x: F.avg_pool2d(x, 2, divisor_override=3), aten.avg_pool2d.default, F.max_pool2d),
    "floor_divide": (lambda m, x: x * 3 // 1, aten.floor.default, aten.ceil.default),
    "clamp_min": (lambda m, x: x.clamp_min(0), aten.clamp.default, lambda x, low: x.clamp(max=low)),
    "clamp_max": (lambda m, x: x.clamp_max(0), aten.clamp.default, lambda x, low, high: x.clamp(min=high)),
    "prod": (lambda m, x: x.prod(1), aten.mul.Tensor, aten.add.Tensor),
    "index_put": (
        put(lambda y: y.__setitem__((slice(None), [2, 0]), y[:, :2] * 2)),
        aten.where.self,
        lambda condition, x, y: torch.where(condition, y, x),
    ),
    "topk": (lambda m, x: x.topk(2, largest=False).values, aten.topk.default, _from_the_other_end),
}


@pytest.mark.parametrize("op", SPOILED)
def test_a_definition_with_a_wrong_part_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch, op: str) -> None:
    function, right, wrong = SPOILED[op]
    layers = {"layer": PLAIN_RECURRENT[op](4, 3, batch_first=True).eval()} if op in PLAIN_RECURRENT else {}
    spoiled: list[Any] = []

    def take_apart(node: Any, table: Any = None) -> Any:
        parts = decomposition.take_apart(node, table)
        spoiled.extend(part for part in parts.nodes if part.target is right)
        for part in spoiled:
            part.target = wrong
        return parts

    monkeypatch.setattr(decompose_unsupported, "take_apart", take_apart)
    result, _ = apply(Of(function, **layers), lacking(op), 1, 3, 4, 4)
    assert spoiled
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason


def test_every_definition_has_a_wrong_version() -> None:
    ways: dict[Any, set[str]] = {}
    for op, function in decomposition._DEFINITIONS.items():
        ways.setdefault(function, set()).add(op._schema.name.removeprefix("aten::"))
    assert [ops for ops in ways.values() if not ops & {*SPOILED, "unfold", "scaled_dot_product_attention"}] == []
