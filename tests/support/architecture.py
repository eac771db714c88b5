"""What docs/architecture.md shows of pyproject.toml: the picture of the layers, and the imports inside functions.

``python -m tests.support.architecture`` writes both anew; a test compares the page with what stands here.
"""

import ast
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mobilevit_deploy"
PAGE = ROOT / "docs" / "architecture.md"
TOOLS: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
CONTRACTS = {contract["type"]: contract for contract in TOOLS["importlinter"]["contracts"]}
LAYERS: list[str] = CONTRACTS["layers"]["layers"]
TARGETS = [name.rsplit(".", 1)[-1] for name in CONTRACTS["independence"]["modules"]]


def module_file(name: str) -> Path:
    """Returns the file of a module or package of ours by its dotted name."""
    place = PACKAGE.joinpath(*name.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def summary(name: str) -> str:
    """Returns the first line of a module's docstring, without marks of literal text."""
    text = ast.get_docstring(ast.parse(module_file(name).read_text())) or ""
    return text.split("\n\n")[0].replace("\n", " ").replace("``", "").replace('"', "'")


def layers() -> str:
    """Returns the picture of the layers, from the top down."""
    lines = ["```mermaid", "flowchart TB"]
    for name in LAYERS:
        if name == "targets":
            lines += [f'    subgraph {_id(name)} ["<b>targets</b><br/>{summary(name)}"]', "        direction LR"]
            lines += [
                f'        target_{target}["<b>{target}</b><br/>{summary(f"targets.{target}")}"]' for target in TARGETS
            ]
            lines.append("    end")
        else:
            lines.append(f'    {_id(name)}["<b>{name}</b><br/>{summary(name)}"]')
    lines.append(f"    {' --> '.join(map(_id, LAYERS))}")
    return "\n".join([*lines, "```"])


def _id(name: str) -> str:
    return f"layer_{name}"  # a plain "graph" would be a word of Mermaid's


def imports() -> str:
    """Returns what imports inside functions or by name, and why, as a table."""
    own = TOOLS[PACKAGE.name]
    lines = ["| module | imports of this package | why |", "|---|---|---|"]
    for key, how in (("imports_inside_functions", "inside functions"), ("imports_by_name", "by name")):
        lines += [f"| `{name}` | {how} | {reason} |" for name, reason in own[key].items()]
    return "\n".join(lines)


def drawn(page: str) -> str:
    """Returns the page with its generated parts as the code has them."""
    for name, make in (("layers", layers), ("imports", imports)):
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
        assert len(pattern.findall(page)) == 1, f"{PAGE.name} has no place for {name}"
        new = f"{begin}\n\n{make()}\n\n{end}"
        page = pattern.sub(lambda _, new=new: new, page)  # type: ignore[misc]
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
