"""What MkDocs calls while it builds the site: hands it the pages that the code writes."""

import re
from typing import Any

from mkdocs.structure.files import File

from tools.docs import pages, rewrite_lists


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Adds the generated pages to those of ``docs/``."""
    for path, text in pages.generated().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Puts a family's rewrites into its page, and writes tables as Python's Markdown reads them."""
    text = rewrite_lists.complete(page.file.src_uri, markdown)
    return "\n".join(_pipes(line) if line.startswith("|") else line for line in text.split("\n"))


def _pipes(row: str) -> str:
    """Returns a row of a table with bare pipes inside of code; GitHub needs a backslash there, which MkDocs shows."""
    return re.sub(r"`[^`]+`", lambda match: match[0].replace(r"\|", "|"), row)
