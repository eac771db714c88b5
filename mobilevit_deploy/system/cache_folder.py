"""The folder for what can be made again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Returns ``MVD_CACHE``, or the system's folder for what may be deleted at any time, where mvd has its own."""
    if chosen := os.environ.get("MVD_CACHE"):
        return Path(chosen)
    import platformdirs  # here, for most commands need no such folder

    return Path(platformdirs.user_cache_dir("mvd", appauthor=False))
