"""Values that half precision does not hold, found in the rewritten graph before anything is converted.

What a mask adds to scores, -1e9 or the least float32, becomes minus infinity and weighs nothing in the softmax behind
it, as it does in float32: it is meant, and no loss.
"""

from collections.abc import Collection, Iterator, Mapping

from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, module_path, op_name
from mobilevit_deploy.graph.masking import masking_nodes
from mobilevit_deploy.runners.rewritten_graph import Range, finite_range

FP16_LARGEST = 65504.0  # IEEE 754 binary16; what is larger becomes infinity
# Images of a few kinds do not show the largest value that a model can reach: within two bits of the end is too near.
MARGIN = 4.0
SHOWN = 5


def warn_of_overflow(
    graph: Graph, ranges: Mapping[Node, Range], keep: Collection[str], *, can_keep: bool = True
) -> tuple[str, ...]:
    """Returns a warning that names the modules whose values come near the end of half precision, if there are any.

    Args:
        graph: as converted.
        ranges: lowest and highest value of its nodes.
        keep: paths of the modules that stay in float32.
        can_keep: whether the target takes --keep-fp32, so that the warning may advise it.
    """
    near: dict[str, tuple[float, str]] = {}
    readers: dict[str, list[str]] = {}
    for node, magnitude in _magnitudes(graph, ranges):
        path = module_path(node)
        if path in keep or magnitude < FP16_LARGEST / MARGIN:
            continue
        readers.setdefault(path, []).extend(module_path(reader) for reader in node.users if reader.op != "output")
        if path not in near or not near[path][0] >= magnitude:
            near[path] = (magnitude, op_name(node).rpartition("::")[2] or "a weight")
    if not near:
        return ()
    worst = sorted(near.items(), key=lambda item: item[1][0], reverse=True)
    shown = ", ".join(f"{path or 'the model'} {magnitude:.3g} ({op})" for path, (magnitude, op) in worst[:SHOWN])
    more = f" and {len(worst) - SHOWN} more modules" if len(worst) > SHOWN else ""
    # What reads such a value must be float32 as well, or it is rounded on the way.
    keeping = dict.fromkeys(path for name, _ in worst[:SHOWN] for path in (name, *readers[name]))
    # What forward of the whole model computes is of no module that could be named.
    options = " ".join(f"--keep-fp32 '{path}'" for path in keeping) if can_keep and all(keeping) else ""
    verb = "beyond" if worst[0][1][0] > FP16_LARGEST else f"within {MARGIN:g} times of"
    return (
        f"half precision ends at {FP16_LARGEST:.0f}, and values come {verb} that: {shown}{more}"
        + (f"; {options} keeps them in float32" if options else "; --precision fp32 keeps everything in float32"),
    )


def _magnitudes(graph: Graph, ranges: Mapping[Node, Range]) -> Iterator[tuple[Node, float]]:
    """Yields what the nodes reached, and the largest weight under the node that reads it."""
    masking = masking_nodes(graph)
    for node in graph.nodes:
        weight = graph.weight(node)
        found = ranges.get(node) if weight is None else finite_range(weight)
        if found is None:
            continue
        lowest, highest = found
        meant = node in masking and highest > -FP16_LARGEST / MARGIN  # else nothing is left to weigh
        magnitude = highest if meant else max(highest, -lowest)
        readers = [node] if weight is None else [reader for reader in node.users if reader.op == "call_function"]
        yield from ((reader, magnitude) for reader in readers)
