"""What Core ML dislikes, or leaves to the CPU; names of operations are ATen's, then those of an ML Program."""

import math

from mobilevit_deploy.targets.operations import Operation
from mobilevit_deploy.targets.rules import FLOAT32_ISLAND, SHAPE_COMPUTATION, Rule, largest_rank

LARGEST_RANK = 5
GATHERS = {
    *("index", "index_select", "gather", "take", "embedding"),
    *("gather_nd", "gather_along_axis"),
}
REDUCTIONS = {
    *("mean", "sum", "group_norm", "layer_norm", "var", "var_mean", "amax"),
    *("reduce_mean", "reduce_sum", "instance_norm", "reduce_sum_square"),
}
CPU_ONLY = {
    *("lstm", "gru", "rnn_tanh", "cumsum", "sort", "argsort", "topk", "scatter", "index_put", "nonzero", "unique"),
    *("rnn", "scatter_nd", "scatter_along_axis", "non_zero", "while_loop", "cond", "non_maximum_suppression"),
}
LARGEST_HALF = 65504


def _rank(operation: Operation) -> str | None:
    rank = largest_rank(operation)
    return f"a tensor of rank {rank}" if rank > LARGEST_RANK else None


def _gather(operation: Operation) -> str | None:
    return "gathers by index" if operation.kind in GATHERS else None


def _dynamic(operation: Operation) -> str | None:
    free = sorted({str(size) for tensor in operation.outputs for size in tensor.shape if isinstance(size, str)})
    return f"a dimension that is not fixed ({', '.join(free)})" if free else None


def _cpu_only(operation: Operation) -> str | None:
    return "runs on the CPU only, or splits the graph" if operation.kind in CPU_ONLY else None


def _large_reduction(operation: Operation) -> str | None:
    if operation.kind not in REDUCTIONS or not operation.inputs or not operation.outputs:
        return None
    reduced = _summed(operation)
    return f"sums {reduced:,} values" if reduced > LARGEST_HALF else None


def _summed(operation: Operation) -> int:
    """Returns how many values go into one sum: for a norm as its definition says, else what the shapes tell."""
    first = operation.inputs[0]
    sizes = [size if isinstance(size, int) else 1 for size in first.shape] or [1]
    if operation.kind == "layer_norm":
        return sizes[-1]
    if operation.kind == "group_norm":
        return math.prod(sizes[1:])
    if operation.kind == "instance_norm":
        return math.prod(sizes[2:])
    return first.elements // max(operation.outputs[0].elements, 1)


RULES: tuple[Rule, ...] = (
    Rule(
        "rank_above_5",
        "coremltools issues 1723 and 1461: fails, or falls back to the CPU",
        _rank,
        ("merge_axes", "flatten_windows", "split_unbound_convolution"),
    ),
    Rule(
        "gather",
        "hollance/neural-engine, unsupported-layers.md: gather leaves the Neural Engine",
        _gather,
        ("fold_constants", "replace_roll"),
    ),
    SHAPE_COMPUTATION,
    Rule("dynamic_shape", "coremltools issues 2370 and 1764: flexible shapes lose the Neural Engine", _dynamic),
    FLOAT32_ISLAND,
    Rule("cpu_only", "hollance/neural-engine, unsupported-layers.md; coremltools' MIL op reference", _cpu_only),
    Rule(
        "large_fp16_reduction",
        f"IEEE 754: half precision ends at {LARGEST_HALF}, so a sum of more values of size 1 overflows",
        _large_reduction,
        ("replace_group_norm",),
    ),
)


def rewrites_against(rule: str) -> tuple[str, ...]:
    """Returns the names of the rewrites that may write otherwise what a rule finds."""
    return next((item.rewrites for item in RULES if item.name == rule), ())
