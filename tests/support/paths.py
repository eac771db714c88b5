"""The paths that a page names."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATH = re.compile(r"`([\w.<>*-]*[/.][\w./<>*-]*)`")
ENDINGS = (".py", ".toml", ".md", ".yml", ".yaml", ".json", ".lock")
WRITTEN = ("artifacts/", ".venv/")  # what commands write, and no clone has


def missing_paths(page: str) -> list[str]:
    """Returns the paths of a page that are not there, and its links that lead nowhere.

    A path begins at the top or in the package; a file's name alone may be anywhere; ``<name>`` is any name.
    """
    named = [text for text in PATH.findall(page) if "/" in text or text.endswith(ENDINGS)]
    links = [link for link in re.findall(r"\]\(([^)#]+)", page) if "://" not in link]
    missing = [text for text in named if not text.startswith(WRITTEN) and not _exists(text)]
    return missing + [link for link in links if not _exists(link) and not _exists(f"docs/{link}")]


def _exists(text: str) -> bool:
    pattern = re.sub(r"<\w+>", "*", text).rstrip("/")
    package = ROOT / "mobilevit_deploy"
    inside = package.glob(pattern) if "/" in text else package.rglob(pattern)
    return any(next(paths, None) for paths in (ROOT.glob(pattern), inside))
