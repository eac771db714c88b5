"""The page that lists the JSON schemas, from the schemas themselves."""

import json
from pathlib import Path

from tools.docs.markdown import code, table

PATH = "reference/schemas.md"
FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
INTRODUCTION = """# JSON schemas

`--json` of every command, the report beside an artifact and the file of its measurements have JSON Schemas (2020-12),
with the units. What [`parts.json`](../schemas/parts.json) holds is shared by several of them, so take the folder
`docs/schemas` whole. Keys are added from release to release and never changed or removed, so a script should pass over
those that it does not know; the schemas name those of this release and no others. NaN and infinity, which JSON lacks,
are null. Errors are text on stderr, and [the exit code](exit-codes.md).

"""


def page() -> str:
    """Returns the page."""
    rows = []
    for path in sorted(FOLDER.glob("*.json")):
        schema = json.loads(path.read_text())
        rows.append((f"[{path.name}](../schemas/{path.name})", schema["title"], _described(schema)))
    return INTRODUCTION + table(("schema", "of", ""), rows)


def _described(schema: dict[str, str]) -> str:
    text = schema.get("description", "")
    return code(text) if text.startswith("<") else text


def pages() -> dict[str, str]:
    """Returns the page by its path in the documentation."""
    return {PATH: page()}
