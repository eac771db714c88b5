"""Times by module and by op."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.measurement.profiling.tree import NodeTime, Row, build_tree, by_op, rows

PATHS = st.one_of(st.none(), st.lists(st.sampled_from("abc"), max_size=4).map(".".join))
NODES = st.lists(st.builds(NodeTime, st.just("n"), st.sampled_from("xy"), st.floats(0, 9), st.integers(0, 99), PATHS,
                           st.booleans(), st.just(())), max_size=30)  # fmt: skip


def node(path: str | None, ms: float, macs: int = 0, op: str = "Conv") -> NodeTime:
    return NodeTime("n", op, ms, macs, path, True, ())


def test_lines() -> None:
    nodes = [
        *(node("net.0.conv", 1, 10), node("net.0.act", 2), node("net.0", 4), node("net.1.only.conv", 8, 20)),
        *(node("", 16), node(None, 32)),
    ]
    assert list(rows(build_tree(nodes), depth=2)) == [
        Row("the whole model", 0, 63, 30, 6),
        Row("net", 1, 15, 30, 4),
        Row("net.0", 2, 7, 10, 3),
        Row("net.1.only.conv", 2, 8, 20, 1),  # containers that hold one module only are left out
        Row("no module known", 1, 32, 0, 1),
        Row("itself", 1, 16, 0, 1),
    ]
    assert Row("net.0, itself", 3, 4, 0, 1) in rows(build_tree(nodes), depth=3)
    assert len(list(rows(build_tree(nodes), depth=0))) == 1


@given(NODES, st.integers(0, 5))
def test_the_last_lines_add_up_to_the_whole(nodes: list[NodeTime], depth: int) -> None:
    lines = list(rows(build_tree(nodes), depth))
    last = [line for line, after in zip(lines, [*lines[1:], lines[0]], strict=True) if after.level <= line.level]
    assert sum(line.ms for line in last) == pytest.approx(sum(item.ms for item in nodes))
    assert sum(line.macs for line in last) == sum(item.macs for item in nodes)
    assert sum(line.nodes for line in last) == len(nodes)


def test_by_op() -> None:
    assert by_op([node("a", 1, 5), node("b", 3, op="Add"), node(None, 1, 6)]) == [
        Row("Add", 0, 3, 0, 1),
        Row("Conv", 0, 2, 11, 2),
    ]
