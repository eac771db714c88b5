"""What XNNPACK does not take."""

from mobilevit_deploy.targets.operations import Operation
from mobilevit_deploy.targets.rules import Rule, largest_rank

# ATen ops of vision models that XNNPACK does not take.
OUTSIDE_XNNPACK = {
    *("layer_norm", "group_norm", "instance_norm", "rms_norm", "amax", "topk", "sort", "roll", "cumsum", "erf"),
    *("upsample_nearest2d", "upsample_bicubic2d", "max_pool3d", "index", "gather", "einsum", "std", "var"),
}
LARGEST_RANK = 6


def _outside_xnnpack(operation: Operation) -> str | None:
    if operation.kind in OUTSIDE_XNNPACK or "::" in operation.kind:
        return "left to a kernel of ExecuTorch's own, with a copy on both sides"
    return None


def _xnnpack_rank(operation: Operation) -> str | None:
    rank = largest_rank(operation)
    return f"a tensor of rank {rank}" if rank > LARGEST_RANK else None


RULES: tuple[Rule, ...] = (
    Rule(
        "outside_xnnpack",
        "executorch 1.5.1, backends/xnnpack/partition/config: ALL_PARTITIONER_CONFIGS lists what is delegated",
        _outside_xnnpack,
        ("decompose_layer_norm", "decompose_group_norm", "keep_reduced_axes"),
    ),
    Rule("rank_above_6", "XNNPACK, include/xnnpack.h: XNN_MAX_TENSOR_DIMS is 6", _xnnpack_rank, ("flatten_windows",)),
)
