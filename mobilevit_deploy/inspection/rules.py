"""What targets and devices dislike, each with its source; a rule reads one operation.

A rule is a function from an operation to what is wrong with it, or None, and the targets that it is about.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mobilevit_deploy.inspection.operations import Operation

GATHERS = {
    *("index", "index_select", "gather", "take", "embedding"),  # ATen
    *("Gather", "GatherND", "GatherElements"),  # ONNX
    *("gather_nd", "gather_along_axis"),  # ML Program
}
REDUCTIONS = {
    *("mean", "sum", "group_norm", "layer_norm", "var", "var_mean", "amax"),
    *(
        "ReduceMean",
        "ReduceSum",
        "InstanceNormalization",
        "LayerNormalization",
        "GroupNormalization",
        "GlobalAveragePool",
    ),
    *("reduce_mean", "reduce_sum", "instance_norm", "reduce_sum_square"),
}
NORMS = {
    "group_norm",
    "layer_norm",
    "InstanceNormalization",
    "LayerNormalization",
    "GroupNormalization",
    "instance_norm",
}
SHAPE_OPS = {
    "sym_size",
    "Shape",
    "Size",
    "ConstantOfShape",
    "Range",
    "NonZero",
    "shape",
    "non_zero",
    "nonzero",
    "range_1d",
}
CPU_ONLY = {
    *("lstm", "gru", "rnn_tanh", "cumsum", "sort", "argsort", "topk", "scatter", "index_put", "nonzero", "unique"),
    *("LSTM", "GRU", "RNN", "CumSum", "TopK", "ScatterND", "ScatterElements", "NonZero", "Unique", "Loop", "If"),
    *("rnn", "scatter_nd", "scatter_along_axis", "non_zero", "while_loop", "cond", "non_maximum_suppression"),
}
# ATen ops that neither the converter's table nor its decompositions have.
NOT_IN_CORE_AI = {
    *("max_pool3d", "max_pool3d_with_indices", "sort", "argsort", "cumprod", "cummax", "grid_sampler_2d", "kthvalue"),
    *("_linalg_svd", "linalg_svd", "special_bessel_j0", "_fft_r2c", "scatter_add", "masked_select", "searchsorted"),
    *("var", "erfinv", "lgamma", "median", "bincount", "_upsample_bilinear2d_aa", "adaptive_max_pool2d"),
}
LARGEST_HALF = 65504


@dataclass(frozen=True)
class Finding:
    """One thing that a target will dislike: which rule, where, what, and who says so."""

    rule: str
    at: str
    op: str
    detail: str
    source: str


@dataclass(frozen=True)
class Rule:
    """One dislike; ``check`` returns what is wrong with an operation, or None; ``rewrites`` may write it otherwise."""

    name: str
    targets: frozenset[str]
    source: str
    check: Callable[[Operation], str | None]
    rewrites: tuple[str, ...] = ()


def _rank(operation: Operation) -> str | None:
    rank = max((len(tensor.shape) for tensor in (*operation.inputs, *operation.outputs)), default=0)
    return f"a tensor of rank {rank}" if rank > 5 else None


def _gather(operation: Operation) -> str | None:
    return "gathers by index" if operation.kind in GATHERS else None


def _shape(operation: Operation) -> str | None:
    return "computes a shape, although the input size is fixed" if operation.kind in SHAPE_OPS else None


def _dynamic(operation: Operation) -> str | None:
    free = sorted({str(size) for tensor in operation.outputs for size in tensor.shape if isinstance(size, str)})
    return f"a dimension that is not fixed ({', '.join(free)})" if free else None


def _island(operation: Operation) -> str | None:
    """Finds a conversion from half to single precision, except at the graph's border."""
    before = {tensor.dtype for tensor in operation.inputs}
    after = {tensor.dtype for tensor in operation.outputs}
    if (
        operation.kind in {"to", "_to_copy", "Cast", "cast"}
        and "float16" in before
        and after == {"float32"}
        and not operation.last
    ):
        return "half precision becomes single precision inside the graph"
    if "float64" in after:
        return "computes in double precision"
    return None


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
    if operation.kind in {"layer_norm", "LayerNormalization"}:
        return sizes[-1]
    if operation.kind in {"group_norm", "GroupNormalization"}:
        return math.prod(sizes[1:])
    if operation.kind in {"InstanceNormalization", "instance_norm"}:
        return math.prod(sizes[2:])
    return first.elements // max(operation.outputs[0].elements, 1)


# ATen ops of vision models that XNNPACK does not take.
OUTSIDE_XNNPACK = {
    *("layer_norm", "group_norm", "instance_norm", "rms_norm", "amax", "topk", "sort", "roll", "cumsum", "erf"),
    *("upsample_nearest2d", "upsample_bicubic2d", "max_pool3d", "index", "gather", "einsum", "std", "var"),
}
LARGEST_XNNPACK_RANK = 6


def _outside_xnnpack(operation: Operation) -> str | None:
    if operation.kind in OUTSIDE_XNNPACK or "::" in operation.kind:
        return "left to a kernel of ExecuTorch's own, with a copy on both sides"
    return None


def _xnnpack_rank(operation: Operation) -> str | None:
    rank = max((len(tensor.shape) for tensor in (*operation.inputs, *operation.outputs)), default=0)
    return f"a tensor of rank {rank}" if rank > LARGEST_XNNPACK_RANK else None


def _not_in_core_ai(operation: Operation) -> str | None:
    return "the converter has no such operation" if operation.kind in NOT_IN_CORE_AI else None


def _narrowed(operation: Operation) -> str | None:
    wide = {tensor.dtype for tensor in operation.outputs} & {"float64", "int64"}
    return f"{' and '.join(sorted(wide))} become 32 bits" if wide else None


BOTH = frozenset({"onnx", "coreml"})
COREML = frozenset({"coreml"})
EXECUTORCH = frozenset({"executorch"})
COREAI = frozenset({"coreai"})

RULES: tuple[Rule, ...] = (
    Rule(
        "rank_above_5",
        COREML,
        "coremltools issues 1723 and 1461: fails, or falls back to the CPU",
        _rank,
        ("flatten_windows", "split_unbound_convolution"),
    ),
    Rule(
        "gather",
        COREML,
        "hollance/neural-engine, unsupported-layers.md: gather leaves the Neural Engine",
        _gather,
        ("fold_constants", "replace_roll"),
    ),
    Rule(
        "shape_computation",
        BOTH,
        "onnxruntime issue 12522: shape arithmetic splits a graph into partitions",
        _shape,
        ("fold_constants",),
    ),
    Rule("dynamic_shape", COREML, "coremltools issues 2370 and 1764: flexible shapes lose the Neural Engine", _dynamic),
    Rule(
        "float32_island",
        BOTH,
        "Apple, Deploying Transformers on the Neural Engine: it computes in float16 only",
        _island,
    ),
    Rule("cpu_only", COREML, "hollance/neural-engine, unsupported-layers.md; coremltools' MIL op reference", _cpu_only),
    Rule(
        "large_fp16_reduction",
        COREML,
        f"IEEE 754: half precision ends at {LARGEST_HALF}, so a sum of more values of size 1 overflows",
        _large_reduction,
        ("replace_group_norm",),
    ),
    Rule(
        "outside_xnnpack",
        EXECUTORCH,
        "executorch 1.5.1, backends/xnnpack/partition/config: ALL_PARTITIONER_CONFIGS lists what is delegated",
        _outside_xnnpack,
        ("decompose_layer_norm", "decompose_group_norm", "keep_reduced_axes"),
    ),
    Rule(
        "rank_above_6",
        EXECUTORCH,
        "XNNPACK, include/xnnpack.h: XNN_MAX_TENSOR_DIMS is 6",
        _xnnpack_rank,
        ("flatten_windows",),
    ),
    Rule(
        "not_in_core_ai",
        COREAI,
        "coreai-torch 0.4.3, _aten_to_core.py: the converter's table of operations",
        _not_in_core_ai,
        ("replace_max_pool3d", "replace_variance", "replace_interpolation"),
    ),
    Rule("narrowed", COREAI, "coreai-torch 0.4.3, _utils.py: Core AI computes with 32 bits at most", _narrowed),
)


def check(operations: Iterable[Operation], target: str) -> list[Finding]:
    """Returns what a target will dislike, in the order of the graph."""
    findings = []
    for operation in operations:
        for rule in RULES:
            if target in rule.targets and (detail := rule.check(operation)):
                findings.append(Finding(rule.name, operation.at, operation.kind, detail, rule.source))
    return findings


def rewrites_against(rule: str) -> tuple[str, ...]:
    """Returns the names of the rewrites that may write otherwise what a rule finds."""
    return next((item.rewrites for item in RULES if item.name == rule), ())
