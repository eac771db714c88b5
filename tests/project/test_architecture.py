"""docs/architecture.md says what the code does: its generated parts, its picture of an export, its paths."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import pytest

from tests.support.architecture import LAYERS, PACKAGE, PAGE, drawn, module_file
from tests.support.paths import missing_paths

TEXT = PAGE.read_text()
NODE = re.compile(r'^(\w+)(\[|\(\[)"([\w.]+)<br/>([\w./]+)"')
SUBGRAPH = re.compile(r'^subgraph (\w+) \["([\w.]+)<br/>([\w./]+)"\]$')
EDGE = re.compile(r"^(\w+) (-->|==>|-\.->)(?:\|(\w+)\|)? (\w+)$")


@dataclass(frozen=True)
class Box:
    """A function or a type of the picture, and the function that it lies in."""

    name: str
    place: str
    is_type: bool
    inside: str | None


@dataclass
class Picture:
    boxes: dict[str, Box] = field(default_factory=dict)
    edges: list[tuple[str, str, str | None, str]] = field(default_factory=list)


def read_picture(page: str) -> Picture:
    """Reads the Mermaid text; a line that is none of its forms is an error."""
    (text,) = re.findall(r"<!-- checked: data flow -->\n+```mermaid\nflowchart TB\n(.*?)```", page, re.DOTALL)
    picture, around = Picture(), list[str]()
    for line in filter(None, map(str.strip, text.splitlines())):
        inside = around[-1] if around else None
        if found := SUBGRAPH.match(line):
            key, name, place = found.groups()
            picture.boxes[key] = Box(name, place, False, inside)
            around.append(key)
        elif line == "end":
            around.pop()
        elif found := NODE.match(line):
            key, shape, name, place = found.groups()
            picture.boxes[key] = Box(name, place, shape == "([", inside)
        else:
            found = EDGE.match(line)
            assert found, line
            source, kind, label, end = found.groups()
            picture.edges.append((source, kind, label, end))
    return picture


@cache
def tree_of(place: str) -> ast.Module:
    return ast.parse((PACKAGE / place).read_text())


def members(tree: ast.Module | ast.ClassDef) -> dict[str, ast.stmt]:
    """Returns functions, classes and annotated fields by name."""
    found: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


def definition(box: Box) -> ast.stmt | None:
    """Returns what a box names, in the file that it names; None where there is no such thing."""
    tree: ast.Module | ast.ClassDef = tree_of(box.place)
    *classes, name = box.name.split(".")
    for outer in classes:
        inner = members(tree).get(outer)
        if not isinstance(inner, ast.ClassDef):
            return None
        tree = inner
    found = members(tree).get(name)
    return found if isinstance(found, ast.ClassDef if box.is_type else ast.FunctionDef) else None


def says(annotation: ast.expr | None, name: str) -> bool:
    """Tells whether an annotation names a type, in quotes or not."""
    return annotation is not None and re.search(rf"\b{name}\b", ast.unparse(annotation)) is not None


def calls(function: ast.stmt, place: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yields the names that a function calls, in order; so do the functions of its own file that it calls."""
    own = members(tree_of(place))
    found = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    for call in sorted(found, key=lambda node: (node.end_lineno, node.end_col_offset)):  # arguments come first
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
        yield name
        if isinstance(call.func, ast.Name) and name in own and name not in seen:
            yield from calls(own[name], place, seen | {name})


def faults(picture: Picture) -> Iterator[str]:
    """Yields what the picture says and the code does not do."""
    for box in picture.boxes.values():
        if not box.place.endswith(".py"):
            if not hasattr(importlib.import_module(box.place), box.name):
                yield f"{box.place} has no {box.name}"
        elif definition(box) is None:
            yield f"{box.place} defines no {box.name}"
        elif box.inside and not box.is_type and _called(picture, box) is None:
            yield f"{box.inside} does not call {box.name}"
    for source, kind, label, end in picture.edges:
        first, second = picture.boxes[source], picture.boxes[end]
        if not _holds(picture, first, kind, label, second):
            yield f"{first.name} {kind} {second.name}"


def _called(picture: Picture, box: Box) -> int | None:
    """Returns the place of a box among the calls of the function that it lies in."""
    assert box.inside
    around = picture.boxes[box.inside]
    function = definition(around)
    names = list(calls(function, around.place)) if function else []
    name = box.name.rsplit(".", 1)[-1]
    return names.index(name) if name in names else None


def _holds(picture: Picture, first: Box, kind: str, label: str | None, second: Box) -> bool:
    given, taken = (definition(box) if box.place.endswith(".py") else None for box in (first, second))
    if kind == "==>":
        before, after = _called(picture, first), _called(picture, second)
        return first.inside == second.inside and before is not None and after is not None and before < after
    if kind == "-.->":
        member = members(taken)[label or ""] if isinstance(taken, ast.ClassDef) else None
        return isinstance(member, ast.AnnAssign) and says(member.annotation, first.name)
    if first.is_type and second.is_type:
        member = members(given)[label or ""] if isinstance(given, ast.ClassDef) else None
        annotation = member.returns if isinstance(member, ast.FunctionDef) else getattr(member, "annotation", None)
        return says(annotation, second.name)
    if first.is_type and isinstance(taken, ast.FunctionDef):
        return any(says(argument.annotation, first.name) for argument in (*taken.args.args, *taken.args.kwonlyargs))
    return isinstance(given, ast.FunctionDef) and says(given.returns, second.name)


def test_the_page_shows_the_layers_and_imports_as_they_are() -> None:
    assert drawn(TEXT) == TEXT, "run: .venv/bin/python -m tests.support.architecture"


def test_the_picture_of_an_export_is_what_the_code_does() -> None:
    picture = read_picture(TEXT)
    assert list(faults(picture)) == []
    assert len(picture.boxes) > 25
    assert {key for edge in picture.edges for key in (edge[0], edge[3])} == picture.boxes.keys() - {"export_model"}


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ('load_model["load_model<', 'load_model["load_models<', "defines no load_models"),
        ('capture["capture<br/>graph/capture', 'capture["capture<br/>graph/graph', "graph/graph.py defines no capture"),
        ('expect_for_target["expect_for_target<', 'expect_for_target["choose_tolerance<', "does not call choose_tol"),
        ("    recapture --> ExportedProgram", "    recapture --> Artifact", "recapture --> Artifact"),
        ("    Plan --> ready_for_target", "    Plan --> load_model", "Plan --> load_model"),
        ("-.->|parity|", "-.->|accuracy|", "ParityReport -.-> ExportReport"),
        ("-->|report|", "-->|add|", "Comparison --> ParityReport"),
        ("write_report ==> publish", "publish ==> write_report", "publish ==> write_report"),
    ],
)
def test_a_wrong_picture_is_noticed(right: str, wrong: str, fault: str) -> None:
    assert TEXT.count(right) == 1
    found = list(faults(read_picture(TEXT.replace(right, wrong))))
    assert any(fault in text for text in found), found


def test_the_page_tells_of_every_package_in_order() -> None:
    part = TEXT.partition("## What belongs where")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)
    assert rows == LAYERS
    assert all(module_file(name).exists() for name in LAYERS)


def test_every_path_of_the_page_exists() -> None:
    assert missing_paths(TEXT) == []
    assert missing_paths("`graph/nothing.py` and `models/<family>.toml`, `nothing/<name>.py`") == [
        "graph/nothing.py",
        "nothing/<name>.py",
    ]
