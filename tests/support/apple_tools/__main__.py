"""``mvd`` on a machine that coremltools takes for a Mac: its native library is ours, and so is the app's project.

It serves: for each line of JSON on stdin it runs one command line in a child process of its own, so that what is
imported is imported once.
"""

import asyncio
import atexit
import json
import os
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.support.apple_tools import libcoremlpython

FASTER = 10
LONGEST_PAUSE_S = 0.05  # of coremltools, between two looks for an answer, or at its progress


def become_mac() -> None:
    """Puts in what coremltools' package for Linux lacks; all else of it runs as it is."""
    from mobilevit_deploy.targets.coreml.quiet import quiet_coreml

    sys.modules["coremltools.libcoremlpython"] = libcoremlpython
    with quiet_coreml():
        from coremltools.models.ml_program.experimental import compute_plan_utils, perf_utils, remote_device

        assert compute_plan_utils._MLComputePlanRemoteProxy is not None
        assert perf_utils.MLModelBenchmarker is not None
    project = Path(__file__).parent / "modelrunner"
    remote_device._ModelRunnerAppBuilder._get_project_path = staticmethod(lambda: project)
    sys.platform = "darwin"  # last, for what was imported has asked already


def hurry() -> None:
    """Lets the clock of the link go ten times as fast: the stand-in answers at once or never, and nobody need wait."""
    from coremltools.models.ml_program.experimental import remote_device

    from mobilevit_deploy.apple import link

    async def pause(seconds: float) -> None:
        await asyncio.sleep(min(seconds, LONGEST_PAUSE_S))

    remote_device._asyncio = SimpleNamespace(**{**vars(asyncio), "sleep": pause})
    vars(link)["time"] = SimpleNamespace(monotonic=lambda: FASTER * time.monotonic())
    link.POLL_S /= FASTER


def run(request: dict[str, Any]) -> int:
    """Runs one command line; returns its exit code."""
    from mobilevit_deploy.cli.app import main
    from tests.support.times import given_times

    times = nullcontext() if request["times"] is None else given_times(request["times"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    tempfile.tempdir = None
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream.fileno())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, sys.stdin.fileno())
    sys.argv = ["mvd", *request["arguments"]]
    try:
        with times:
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def warm_up(arguments: list[str]) -> None:
    """Runs a command line here, so that what it imports and keeps is there for every later one."""
    import torch

    from tests.support import fork_server, torchlib

    fork_server.quiet_tqdm()
    torch.set_num_threads(1)
    torchlib.remember()
    output, errors = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
        fork_server.warm(arguments)
        for stream, before in ((1, output), (2, errors)):
            os.dup2(before, stream)
    libcoremlpython._MLModelProxy.loads = 0


def serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "warm" in request:
            warm_up(request["warm"])
            print(json.dumps({}), flush=True)
            continue
        child = os.fork()
        if child == 0:
            os._exit(run(request))
        print(json.dumps({"pid": child}), flush=True)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    import psutil  # noqa: F401 - before this becomes a Mac, for which its own native part is missing here

    become_mac()
    import mobilevit_deploy.apple.app
    import mobilevit_deploy.apple.compute_plan
    import mobilevit_deploy.apple.link
    import mobilevit_deploy.apple.open
    import mobilevit_deploy.cli.app
    import mobilevit_deploy.cli.latency_coreml
    import mobilevit_deploy.measurement.latency.coreml
    import mobilevit_deploy.measurement.latency.measure
    import mobilevit_deploy.report.coreml  # noqa: F401 - imported once, before any child
    from mobilevit_deploy.targets.coreml.mil.specification import parse_model

    parse_model(b"")
    hurry()
    print("ready", flush=True)
    serve()
