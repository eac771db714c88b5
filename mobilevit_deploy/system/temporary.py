"""A folder for all temporary files of one run, of its child processes and of the libraries it uses.

It goes when the run ends; that of a run that was killed goes with the next one.
"""

import atexit
import os
import tempfile
from pathlib import Path

from mobilevit_deploy.system.owned_folders import abandoned, claim

PREFIX = "mvd-running-"

_parent: list[Path] = []


def use_own_folder() -> None:
    """Makes the folder, and makes it the one for temporary files; where none can be made all stays as it is."""
    try:
        parent = Path(tempfile.gettempdir())
        for left in abandoned(parent, PREFIX):
            left.release()
        own = claim(parent, PREFIX)
    except OSError:
        return
    _parent[:] = [parent]
    tempfile.tempdir = os.environ["TMPDIR"] = str(own.path)
    atexit.register(own.release)


def parent() -> Path | None:
    """Returns the folder that outlives the run; None where it is the usual one."""
    return _parent[0] if _parent else None
