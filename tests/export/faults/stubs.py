"""Stand-ins for native libraries that crash or hang, put in front of the real ones for child processes."""

import os
from pathlib import Path

CRASHES = {
    "ends at once": "import os\nos._exit(7)\n",
    "aborts": "import os\nos.abort()\n",
    "is killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
    "raises": "raise ImportError('planted')\n",
    "says nothing": "import sys\nsys.exit(0)\n",
}
HANGS = "import time\nopen(__file__ + '.reached', 'w').close()\ntime.sleep(1000)\n"


def make(folder: Path, module: str, code: str) -> Path:
    """Writes a module whose import does something, and returns the folder that it is found in."""
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(code)
    return folder


def shorten(_: Path) -> None:
    """Makes this process, a fork, wait for its children for a second and not for minutes."""
    from mobilevit_deploy.measurement.latency import process
    from mobilevit_deploy.measurement.profiling import profile
    from mobilevit_deploy.targets.onnx import convert as onnx

    onnx.SIMPLIFY_TIMEOUT_S = 1
    process.GRACE_S = 1
    profile.GRACE_S = 1


def use(log: Path) -> None:
    """Lets child processes of this one, a fork, find the stand-ins that lie in the log folder."""
    use_patiently(log)
    shorten(log)


def use_patiently(log: Path) -> None:
    """The same, with the program's own patience."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(log / "stubs"), os.environ.get("PYTHONPATH", "")])
