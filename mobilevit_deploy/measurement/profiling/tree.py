"""Times by module, from the model down, and by op type."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class NodeTime:
    """One node of the optimised graph: its median time, and what it computes (see ``attribution.Origin``)."""

    name: str
    op: str
    ms: float
    macs: int
    path: str | None
    exact: bool
    sources: tuple[str, ...]


@dataclass
class Branch:
    """A module with everything inside it; ``own_*`` is what belongs to no module inside.

    ``path`` is None for what no module is known for.
    """

    path: str | None
    ms: float = 0.0
    macs: int = 0
    nodes: int = 0
    own_ms: float = 0.0
    own_macs: int = 0
    own_nodes: int = 0
    children: dict[str, "Branch"] = field(default_factory=dict)

    def _add(self, node: NodeTime) -> None:
        self.ms += node.ms
        self.macs += node.macs
        self.nodes += 1

    def _add_own(self, node: NodeTime) -> None:
        self.own_ms += node.ms
        self.own_macs += node.macs
        self.own_nodes += 1


def build_tree(nodes: Sequence[NodeTime]) -> Branch:
    """Returns the whole model; nodes without a module are its child ``""``, whose path is None."""
    root = Branch("")
    for node in nodes:
        root._add(node)
        branch = root
        if node.path is None:
            branch = root.children.setdefault("", Branch(None))
            branch._add(node)
        for part in node.path.split(".") if node.path else ():
            path = f"{branch.path}.{part}" if branch.path else part
            branch = branch.children.setdefault(part, Branch(path))
            branch._add(node)
        branch._add_own(node)
    return root


@dataclass(frozen=True)
class Row:
    """A line of a table: ``label`` for people, ``level`` in the tree."""

    label: str
    level: int
    ms: float
    macs: int
    nodes: int


def rows(branch: Branch, depth: int, level: int = 0) -> Iterator[Row]:
    """Yields the modules down to a depth, in the order in which they run.

    The last lines of all ways down add up to the whole: what a module does itself has a line where it has others
    inside. A container that does nothing itself and holds one module is left out.
    """
    while branch.path != "" and not branch.own_nodes and len(branch.children) == 1:
        (branch,) = branch.children.values()
    label = {"": "the whole model", None: "no module known"}.get(branch.path, branch.path) or ""
    yield Row(label, level, branch.ms, branch.macs, branch.nodes)
    if level >= depth:
        return
    for child in branch.children.values():
        yield from rows(child, depth, level + 1)
    if branch.children and branch.own_nodes:
        name = f"{branch.path}, itself" if branch.path else "itself"
        yield Row(name, level + 1, branch.own_ms, branch.own_macs, branch.own_nodes)


def by_op(nodes: Iterable[NodeTime]) -> list[Row]:
    """Returns a line for each op type, the one that takes most time first."""
    found: dict[str, Row] = {}
    for node in nodes:
        row = found.get(node.op, Row(node.op, 0, 0.0, 0, 0))
        found[node.op] = Row(node.op, 0, row.ms + node.ms, row.macs + node.macs, row.nodes + 1)
    return sorted(found.values(), key=lambda row: -row.ms)
