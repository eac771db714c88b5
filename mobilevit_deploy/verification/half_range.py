"""Values that half precision does not hold, found in the rewritten graph before anything is converted."""

from collections.abc import Collection, Mapping

from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, module_path, op_name

FP16_LARGEST = 65504.0  # IEEE 754 binary16; what is larger becomes infinity
# Images of a few kinds do not show the largest value that a model can reach: within two bits of the end is too near.
MARGIN = 4.0
SHOWN = 5


def warn_of_overflow(graph: Graph, largest: Mapping[Node, float], keep: Collection[str]) -> tuple[str, ...]:
    """Returns a warning that names the modules whose values come near the end of half precision, if there are any.

    Args:
        graph: as converted.
        largest: magnitudes that its nodes reached.
        keep: paths of the modules that stay in float32.
    """
    near: dict[str, tuple[float, str]] = {}
    readers: dict[str, list[str]] = {}
    for node, magnitude in _with_weights(graph, largest):
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
    options = " ".join(f"--keep-fp32 '{path}'" for path in keeping if path)
    verb = "beyond" if worst[0][1][0] > FP16_LARGEST else f"within {MARGIN:g} times of"
    return (
        f"half precision ends at {FP16_LARGEST:.0f}, and values come {verb} that: {shown}{more}"
        + (f"; {options} keeps them in float32" if options else "; --precision fp32 keeps everything in float32"),
    )


def _with_weights(graph: Graph, largest: Mapping[Node, float]) -> list[tuple[Node, float]]:
    """Returns what the nodes reached, and the largest weight under the node that reads it."""
    found = list(largest.items())
    for node in graph.nodes:
        weight = graph.weight(node)
        if weight is not None and weight.is_floating_point() and weight.numel():
            found += [(reader, float(weight.abs().max())) for reader in node.users if reader.op == "call_function"]
    return found
