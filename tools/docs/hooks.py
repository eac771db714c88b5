"""What MkDocs calls while it builds the site: hands it the pages that the code writes."""

from typing import Any

from mkdocs.structure.files import File

from tools.docs import pages, rewrite_lists


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Adds the generated pages to those of ``docs/``."""
    for path, text in pages.generated().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Puts a family's rewrites into its page."""
    return rewrite_lists.complete(page.file.src_uri, markdown)
