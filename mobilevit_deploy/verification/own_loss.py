"""PyTorch in the arithmetic of an artifact: what that cannot but lose."""

from collections.abc import Collection

from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.pipeline.plan import Plan
from mobilevit_deploy.pipeline.prepare import ReadyForTarget
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.runners.base import NotMeasured, Opener
from mobilevit_deploy.runners.rewritten_graph import GraphRunner
from mobilevit_deploy.runners.rounded_graph import round_to_half, store_weights


def open_like(plan: Plan, ready: ReadyForTarget, borders: Borders) -> Opener | None:
    """Returns what opens the graph with what an artifact's precision loses; None where PyTorch has no such thing."""
    compression, keep = plan.compression, ready.app.keep_fp32
    if plan.precision in ("fp32", "int8") or (compression and (compression.scheme is None or compression.prune)):
        return None
    graph = ready.graph
    if compression and compression.scheme:
        per_channel = compression.scheme.method == "quantize"
        graph = store_weights(graph, compression.scheme.bits, per_channel=per_channel, keep=keep)
    return open_rounded(graph, borders, keep)


def open_rounded(graph: Graph, borders: Borders, keep: Collection[str] = ()) -> Opener | None:
    """Returns what opens a graph, with an artifact's borders, as half precision computes it."""
    (opener,) = borders.openers([lambda: GraphRunner(round_to_half(graph, keep))])
    return None if isinstance(opener, NotMeasured) else opener
