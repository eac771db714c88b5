"""``mvd`` on a machine that coremltools takes for a Mac: its native library is ours, and so is the app's project."""

import sys
from pathlib import Path

from tests.apple_tools import libcoremlpython


def become_mac() -> None:
    """Puts in what coremltools' package for Linux lacks; all else of it runs as it is."""
    from mobilevit_deploy.targets.coreml import quiet_coreml

    sys.modules["coremltools.libcoremlpython"] = libcoremlpython
    with quiet_coreml():
        from coremltools.models.ml_program.experimental import compute_plan_utils, perf_utils, remote_device

        assert compute_plan_utils._MLComputePlanRemoteProxy is not None
        assert perf_utils.MLModelBenchmarker is not None
    project = Path(__file__).parent / "modelrunner"
    remote_device._ModelRunnerAppBuilder._get_project_path = staticmethod(lambda: project)
    sys.platform = "darwin"  # last, for what was imported has asked already


if __name__ == "__main__":
    become_mac()
    from mobilevit_deploy.cli.app import main

    main()
