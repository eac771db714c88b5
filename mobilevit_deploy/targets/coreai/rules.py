"""What Core AI's converter lacks or narrows."""

from mobilevit_deploy.targets.operations import Operation
from mobilevit_deploy.targets.rules import Rule

# ATen ops that neither the converter's table nor its decompositions have.
NOT_IN_CORE_AI = {
    *("max_pool3d", "max_pool3d_with_indices", "sort", "argsort", "cumprod", "cummax", "grid_sampler_2d", "kthvalue"),
    *("_linalg_svd", "linalg_svd", "special_bessel_j0", "_fft_r2c", "scatter_add", "masked_select", "searchsorted"),
    *("var", "erfinv", "lgamma", "median", "bincount", "_upsample_bilinear2d_aa", "adaptive_max_pool2d"),
}


def _not_in_core_ai(operation: Operation) -> str | None:
    return "the converter has no such operation" if operation.kind in NOT_IN_CORE_AI else None


def _narrowed(operation: Operation) -> str | None:
    wide = {tensor.dtype for tensor in operation.outputs} & {"float64", "int64"}
    return f"{' and '.join(sorted(wide))} become 32 bits" if wide else None


RULES: tuple[Rule, ...] = (
    Rule(
        "not_in_core_ai",
        "coreai-torch 0.4.3, _aten_to_core.py: the converter's table of operations",
        _not_in_core_ai,
        ("replace_max_pool3d", "replace_variance", "replace_interpolation"),
    ),
    Rule("narrowed", "coreai-torch 0.4.3, _utils.py: Core AI computes with 32 bits at most", _narrowed),
)
