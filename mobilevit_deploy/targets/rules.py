"""What targets dislike, each with its source: what a rule is, and the rules that several targets share.

A rule reads one operation. ``rules.py`` in a target's package has that target's.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from mobilevit_deploy.targets.operations import Operation

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


@dataclass(frozen=True)
class Finding:
    """One thing that a target will dislike: which rule, where, what, who says so, and the line of the model's code.

    The line, as ``net.py:7``, is empty where it is not known.
    """

    rule: str
    at: str
    op: str
    detail: str
    source: str
    line: str = field(default="", compare=False)


@dataclass(frozen=True)
class Rule:
    """One dislike; ``check`` returns what is wrong with an operation, or None; ``rewrites`` may write it otherwise."""

    name: str
    source: str
    check: Callable[[Operation], str | None]
    rewrites: tuple[str, ...] = ()


def check(operations: Iterable[Operation], rules: Sequence[Rule]) -> list[Finding]:
    """Returns what a target will dislike, in the order of the graph."""
    return [
        Finding(rule.name, operation.at, operation.kind, detail, rule.source, operation.line)
        for operation in operations
        for rule in rules
        if (detail := rule.check(operation))
    ]


def largest_rank(operation: Operation) -> int:
    """Returns the rank of the tensor with the most axes that goes in or out."""
    return max((len(tensor.shape) for tensor in (*operation.inputs, *operation.outputs)), default=0)


def _shape(operation: Operation) -> str | None:
    return "computes a shape, although the input size is fixed" if operation.kind in SHAPE_OPS else None


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


SHAPE_COMPUTATION = Rule(
    "shape_computation",
    "onnxruntime issue 12522: shape arithmetic splits a graph into partitions",
    _shape,
    ("fold_constants",),
)
FLOAT32_ISLAND = Rule(
    "float32_island",
    "Apple, Deploying Transformers on the Neural Engine: it computes in float16 only",
    _island,
)
