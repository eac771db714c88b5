"""``mvd latency --backend android``."""

from pathlib import Path
from typing import TYPE_CHECKING

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.artifacts import print_latencies, store
from mobilevit_deploy.cli.options import one_device

if TYPE_CHECKING:
    from mobilevit_deploy.catalog.cards import Delegate


def measure_files(
    names: list[str],
    device: list[str] | None,
    binary: Path | None,
    threads: int | None,
    delegate: str | None,
    seconds: float | None,
    json: bool,
) -> None:
    """Checks the files and the phone, measures, and prints."""
    chosen = read_delegate(delegate)
    wanted = one_device(device) if device else None
    with console.progress() as progress:
        from mobilevit_deploy.errors import UsageError
        from mobilevit_deploy.measurement.android.attached import open_phone
        from mobilevit_deploy.measurement.latency.android import (
            SECONDS,
            THREADS,
            AndroidRequest,
            measure_android,
        )
        from mobilevit_deploy.measurement.latency.document import android_document
        from mobilevit_deploy.measurement.phone_tools.choose import choose_tools
        from mobilevit_deploy.report.android import android_table

        paths = [Path(name) for name in names]
        if not paths:
            raise UsageError("no file was given to measure on the phone", "mvd latency FILE.tflite --backend android")
        for tool, path in zip(choose_tools(paths, chosen, binary), paths, strict=True):
            tool.input_shape(path)  # what cannot be is refused before the phone is asked
        progress(f"looking for {wanted or 'an Android phone'}")
        phone = open_phone(wanted)
        limit = SECONDS if seconds is None else seconds
        request = AndroidRequest(paths, binary, THREADS if threads is None else threads, chosen, limit)
        reports = measure_android(request, phone, progress)
        store(reports, android_document)
    print_latencies(reports, [report.artifact.name for report in reports], android_document, android_table, json)


def read_delegate(given: str | None) -> "Delegate":
    """Returns a delegate by its name, the processor for none; raises UsageError for no delegate."""
    from mobilevit_deploy.errors import UsageError
    from mobilevit_deploy.measurement.benchmark_model.arguments import DELEGATES

    for name in DELEGATES:
        if name == (given or "cpu"):
            return name
    raise UsageError(f"there is no delegate {given!r}", f"give --delegate {', '.join(DELEGATES)}")
