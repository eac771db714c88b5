"""Timing files in turns on an Android phone, so that what heats it meanwhile happens to all of them."""

import time
from collections.abc import Sequence
from pathlib import Path

from mobilevit_deploy.measurement.android.attached import AttachedPhone
from mobilevit_deploy.measurement.comparison.alternate import suffices
from mobilevit_deploy.measurement.latency.android import AndroidRequest, PushedFile, programs_on
from mobilevit_deploy.measurement.phone_tools.choose import choose_tools
from mobilevit_deploy.system.environment import check_seconds


def alternate_android(
    artifacts: Sequence[Path], seconds: float, request: AndroidRequest, phone: AttachedPhone
) -> list[list[tuple[float]]]:
    """Times files in turns until every ratio is known to 1 %, or the time is over; nothing is left on the phone.

    A group is one process of the runtime's own tool for each file; every second one goes backwards.

    Args:
        artifacts: the base first.
        seconds: time limit, pauses included; at least six groups are measured.
        request: how they are run; its own artifacts and seconds have no part in it.
        phone: that runs them.

    Returns:
        Of each file, of each group, the median of the process, in ms, as ``paired_ratio`` takes it.

    Raises:
        MvdError: as for ``latency.android.measure_android``.
    """
    check_seconds(seconds)
    tools, begin = choose_tools(artifacts, request.delegate, request.binary), time.monotonic()
    with programs_on(phone, tools, request.binary) as (workspace, programs):
        files = [
            PushedFile(path, tool, programs[tool.name], workspace.push(path, f"model{number}{tool.suffix}"), workspace)
            for number, (tool, path) in enumerate(zip(tools, artifacts, strict=True))
        ]
        asked = [file.asked(request, seconds / len(files)) for file in files]
        times: list[list[tuple[float]]] = [[] for _ in files]
        while True:
            turns = list(range(len(files)))
            for number in turns if len(times[0]) % 2 == 0 else reversed(turns):
                process, asked[number] = files[number].take(asked[number])
                times[number].append((float(process.samples_ms[0]),))
            if suffices(times, over=time.monotonic() - begin >= seconds):
                return times
