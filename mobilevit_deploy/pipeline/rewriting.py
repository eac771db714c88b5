"""A captured graph with a recipe's rewrites, and what the user is told of those that were wrong."""

from collections.abc import Iterator

from mobilevit_deploy.catalog.recipe import Recipe
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.sample import Sample
from mobilevit_deploy.graph.untraceable import reason_of
from mobilevit_deploy.rewrites.order import chosen_rewrites
from mobilevit_deploy.rewrites.rewrite import RewriteResult, Rewritten, TakenBack, rewrite_graph
from mobilevit_deploy.targets.registry import takes_of


def rewrite_captured(recipe: Recipe, original: Graph, sample: Sample) -> tuple[Rewritten, tuple[str, ...]]:
    """Applies the rewrites, with a warning for each that was taken back somewhere.

    A graph that does not run call by call cannot be rewritten at all; it stays as captured, with a warning.

    Args:
        recipe: whose rewrites are applied.
        original: as captured; left as it is.
        sample: input of the proofs, one batch as the model takes it.

    Returns:
        What came of it, and warnings for the user.
    """
    try:
        rewritten = rewrite_graph(original, chosen_rewrites(recipe, takes_of(recipe.target)), sample)
    except Exception as error:  # of an op that PyTorch ran, and that runs alone neither in float64 nor in float32
        return Rewritten(original, ()), (
            f"not rewritten: the graph does not run call by call, so no proof: {reason_of(error)}",
        )
    warnings = [warning for result in rewritten.results for warning in _warn_of_faults(result)]
    if rewritten.in_float32:
        warnings.append(
            f"{', '.join(rewritten.in_float32)}: without a float64 kernel in PyTorch; in the proofs of the rewrites it "
            "ran in float32, to whose precision alone it is proved"
        )
    return rewritten, tuple(warnings)


def _warn_of_faults(result: RewriteResult) -> Iterator[str]:
    """Yields a warning for each reason for which a rewrite was taken back, with the places."""
    places: dict[str, list[str]] = {}
    for refused in result.refused:
        if isinstance(refused, TakenBack):
            places.setdefault(refused.reason, []).append(refused.at)
    for reason, at in places.items():
        more = f" and {len(at) - 1} places more" if len(at) > 1 else ""
        yield (
            f"{result.name} was taken back at {at[0]}{more}: {reason}; all else is rewritten. "
            "This is a fault of the rewrite: please report it with the model"
        )
