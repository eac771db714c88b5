"""All rewrites, in the order in which they run; a recipe chooses among them.

One file each, named like the rewrite: what it matches, what it writes, why, and where that was measured.
"""

from functools import cache

from mobilevit_deploy.catalog.recipe import Recipe
from mobilevit_deploy.errors import CatalogError
from mobilevit_deploy.rewrites.activation.decompose_tanh_gelu import DecomposeTanhGelu
from mobilevit_deploy.rewrites.activation.fuse_gelu import FuseGelu
from mobilevit_deploy.rewrites.activation.fuse_silu import FuseSilu
from mobilevit_deploy.rewrites.activation.replace_rrelu import ReplaceRrelu
from mobilevit_deploy.rewrites.attention.drop_key_bias import DropKeyBias
from mobilevit_deploy.rewrites.attention.fold_scale import FoldScale
from mobilevit_deploy.rewrites.attention.sort_attention import SortAttention
from mobilevit_deploy.rewrites.attention.sort_tokens import SortTokens
from mobilevit_deploy.rewrites.attention.split_unbound_convolution import SplitUnboundConvolution
from mobilevit_deploy.rewrites.compatibility.add_bias import AddBias
from mobilevit_deploy.rewrites.compatibility.decompose_unsupported import DecomposeUnsupported, Takes, takes_all
from mobilevit_deploy.rewrites.compatibility.flatten_softmax import FlattenSoftmax
from mobilevit_deploy.rewrites.compatibility.raise_masks import RaiseMasks
from mobilevit_deploy.rewrites.compatibility.replace_alpha import ReplaceAlpha
from mobilevit_deploy.rewrites.compatibility.replace_ceil_mode import ReplaceCeilMode
from mobilevit_deploy.rewrites.compatibility.replace_clamp import ReplaceClamp
from mobilevit_deploy.rewrites.compatibility.replace_complex import ReplaceComplex
from mobilevit_deploy.rewrites.compatibility.replace_instance_norm import ReplaceInstanceNorm
from mobilevit_deploy.rewrites.compatibility.replace_interpolation import ReplaceInterpolation
from mobilevit_deploy.rewrites.compatibility.replace_log_softmax import ReplaceLogSoftmax
from mobilevit_deploy.rewrites.compatibility.replace_masked_rows import ReplaceMaskedRows
from mobilevit_deploy.rewrites.compatibility.replace_max_pool3d import ReplaceMaxPool3d
from mobilevit_deploy.rewrites.compatibility.replace_max_unpool import ReplaceMaxUnpool
from mobilevit_deploy.rewrites.compatibility.replace_reciprocal import ReplaceReciprocal
from mobilevit_deploy.rewrites.compatibility.replace_rms_norm import ReplaceRmsNorm
from mobilevit_deploy.rewrites.compatibility.replace_softplus import ReplaceSoftplus
from mobilevit_deploy.rewrites.compatibility.replace_uncounted_padding import ReplaceUncountedPadding
from mobilevit_deploy.rewrites.compatibility.replace_variance import ReplaceVariance
from mobilevit_deploy.rewrites.constants.fold_constants import FoldConstants
from mobilevit_deploy.rewrites.convolution.fuse_patch_merge import FusePatchMerge
from mobilevit_deploy.rewrites.convolution.merge_linears import MergeLinears
from mobilevit_deploy.rewrites.convolution.replace_deconvolution import ReplaceDeconvolution
from mobilevit_deploy.rewrites.convolution.replace_depthwise_deconvolution import ReplaceDepthwiseDeconvolution
from mobilevit_deploy.rewrites.convolution.split_concat_linear import SplitConcatLinear
from mobilevit_deploy.rewrites.convolution.split_convolution import SplitConvolution
from mobilevit_deploy.rewrites.layout.drop_batch_axis import DropBatchAxis
from mobilevit_deploy.rewrites.layout.flatten_windows import FlattenWindows
from mobilevit_deploy.rewrites.layout.merge_axes import MergeAxes
from mobilevit_deploy.rewrites.layout.merge_movements import MergeMovements
from mobilevit_deploy.rewrites.layout.merge_slices import MergeSlices
from mobilevit_deploy.rewrites.layout.merge_views import MergeViews
from mobilevit_deploy.rewrites.layout.move_slices import MoveSlices
from mobilevit_deploy.rewrites.layout.remove_identities import RemoveIdentities
from mobilevit_deploy.rewrites.layout.replace_roll import ReplaceRoll
from mobilevit_deploy.rewrites.normalization.decompose_group_norm import DecomposeGroupNorm
from mobilevit_deploy.rewrites.normalization.decompose_layer_norm import DecomposeLayerNorm
from mobilevit_deploy.rewrites.normalization.flatten_group_norm import FlattenGroupNorm
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import FoldBatchNorm
from mobilevit_deploy.rewrites.normalization.fold_group_norm_affine import FoldGroupNormAffine
from mobilevit_deploy.rewrites.normalization.replace_batch_norm import ReplaceBatchNorm
from mobilevit_deploy.rewrites.normalization.replace_group_norm import ReplaceGroupNorm
from mobilevit_deploy.rewrites.pooling.fuse_global_average import FuseGlobalAverage
from mobilevit_deploy.rewrites.pooling.keep_reduced_axes import KeepReducedAxes
from mobilevit_deploy.rewrites.pooling.move_average_pool import MoveAveragePool
from mobilevit_deploy.rewrites.pooling.replace_token_mean import ReplaceTokenMean
from mobilevit_deploy.rewrites.pooling.split_average_pool import SplitAveragePool
from mobilevit_deploy.rewrites.rewrite import Rewrite
from mobilevit_deploy.system import plugins

COMPATIBILITY = "mobilevit_deploy.rewrites.compatibility."  # the folder of what converters lack or get wrong

REWRITES: tuple[Rewrite, ...] = (
    ReplaceComplex(),  # first: view_as_complex needs the copies that the next one removes
    RemoveIdentities(),  # then: what returns its input stands between ops that the others match
    MergeSlices(),  # as above
    FoldConstants(),  # before all that reads weights: a weight that the graph computes is none to them
    ReplaceMaxUnpool(),
    ReplaceMaskedRows(),  # after fold_constants, which makes a weight of a mask; before what takes an attention apart
    RaiseMasks(),  # likewise after fold_constants
    FuseGelu(),
    DecomposeTanhGelu(),
    FuseSilu(),
    ReplaceRrelu(),
    # What coremltools converts to something else; mobilevit_deploy/targets/coreml/faults.py refuses what is left of it.
    ReplaceAlpha(),
    ReplaceClamp(),
    ReplaceSoftplus(),
    ReplaceReciprocal(),
    ReplaceLogSoftmax(),
    ReplaceRmsNorm(),
    ReplaceInstanceNorm(),  # before fold_batch_norm, which then folds it
    ReplaceVariance(),
    ReplaceInterpolation(),
    ReplaceCeilMode(),  # before move_average_pool and split_average_pool, which take plain pools
    ReplaceUncountedPadding(),  # after replace_ceil_mode, which leaves plain pools
    FuseGlobalAverage(),  # before fold_batch_norm, which passes through a mean and not through the other spellings
    MergeLinears(),  # before fold_batch_norm, which then scales one head and not two
    MoveAveragePool(),  # after fuse_global_average: only real windows are left; before the folds
    FoldGroupNormAffine(),  # beside fold_batch_norm, for the same reasons
    FoldBatchNorm(),
    SplitConvolution(),  # after fold_batch_norm: the norm in front of q, k, v is folded once, into one layer
    MoveSlices(),  # before split_unbound_convolution, which splits a layer that is not cut into tokens
    SplitUnboundConvolution(),  # after the folds, for the same reason
    MergeViews(),  # after split_unbound_convolution, which permutes the keys that a transpose then reads
    FoldScale(),  # after the splits, which give q a convolution of its own
    DropKeyBias(),  # after the splits, which give k a layer of its own
    SplitAveragePool(),  # after move_average_pool and the folds, which look for a pool's one neighbour
    FlattenGroupNorm(),  # after fold_group_norm_affine: what is left of the affine is spelled out
    ReplaceGroupNorm(),  # after fold_group_norm_affine, as above
    DecomposeGroupNorm(),  # likewise
    ReplaceMaxPool3d(),  # before decompose_unsupported, which would write the same in more steps
    # After all that matches whole ops; before what follows, which also writes well what it makes.
    DecomposeUnsupported(),
    SplitConcatLinear(),  # after the folds: a part is no layer that a norm folds into
    AddBias(),  # after all that folds into linear layers or merges them
    # After fold_batch_norm, which scales a transposed convolution and does not pass through what replaces it.
    ReplaceDepthwiseDeconvolution(),
    ReplaceDeconvolution(),  # after the depthwise form, which is the cheaper of the two where a recipe has both
    ReplaceRoll(),
    FusePatchMerge(),
    SortTokens(),
    SortAttention(),
    DropBatchAxis(),  # after all that matches linear layers
    ReplaceTokenMean(),  # after drop_batch_axis, which leaves two axes
    MergeAxes(),  # before flatten_windows, which writes the reshapes and permutations that this leaves
    FlattenWindows(),  # after what matches reshapes and permutations as they were written, or writes some itself
    MergeMovements(),  # as above
    DecomposeLayerNorm(),  # after all that looks for a norm in front of a layer, or moves one
    KeepReducedAxes(),  # after all that matches a mean as fuse_global_average writes it
    FlattenSoftmax(),  # after all that matches a softmax between two products
    ReplaceBatchNorm(),  # last: only what could not be folded
)


@cache
def all_rewrites() -> tuple[Rewrite, ...]:
    """Returns ``REWRITES``, with those that other packages add in the places that they ask for.

    Raises:
        MvdError: what a package adds is no rewrite, has a name that is taken, or asks for no place that there is.
    """
    found = list(REWRITES)
    for plugin in plugins.plugins(plugins.REWRITES).values():
        kind = plugins.load(plugin)
        if not (isinstance(kind, type) and issubclass(kind, Rewrite)):
            raise plugins.broken(plugin, f"{plugin.value} is no subclass of Rewrite")
        names = [rewrite.name for rewrite in found]
        if kind.name != plugin.name or kind.name in names:
            raise plugins.broken(plugin, f"it calls itself {kind.name!r}, which must be its own name and no other's")
        if kind.runs_before and kind.runs_before not in names:
            raise plugins.broken(plugin, f"it runs before {kind.runs_before!r}, which is no rewrite")
        found.insert(names.index(kind.runs_before) if kind.runs_before else len(found), kind())
    return tuple(found)


def chosen_rewrites(recipe: Recipe, takes: Takes = takes_all) -> tuple[Rewrite, ...]:
    """Returns a recipe's rewrites in the order in which they run.

    Args:
        recipe: names them.
        takes: tells whether the target's converter takes a call of ATen.

    Raises:
        CatalogError: a name that no rewrite has.
    """
    wanted = {item.name for item in recipe.rewrites}
    every = all_rewrites()
    unknown = wanted - {rewrite.name for rewrite in every}
    if unknown:
        raise CatalogError(
            f"recipe {recipe.name} names rewrites that do not exist: {', '.join(sorted(unknown))}",
            f"there are: {', '.join(rewrite.name for rewrite in every)}",
        )
    chosen = tuple(rewrite for rewrite in every if rewrite.name in wanted)
    mend = tuple(rewrite for rewrite in chosen if _mends(rewrite))
    return tuple(
        DecomposeUnsupported(takes, mend) if isinstance(rewrite, DecomposeUnsupported) else rewrite
        for rewrite in chosen
    )


def _mends(rewrite: Rewrite) -> bool:
    """Tells whether a rewrite also holds for what an op is taken apart to: it removes, computes, or avoids a fault."""
    if isinstance(rewrite, DecomposeUnsupported):
        return False
    kind = type(rewrite).__module__
    return isinstance(rewrite, RemoveIdentities | FoldConstants) or kind.startswith(COMPATIBILITY)
