"""``mvd profile`` of a ``.tflite`` file."""

from pathlib import Path

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.latency_android import read_delegate
from mobilevit_deploy.cli.options import one_device


def profile_file(
    artifact: Path,
    device: list[str] | None,
    binary: Path | None,
    threads: int | None,
    delegate: str | None,
    seconds: float,
    depth: int,
    json: bool,
) -> None:
    """Profiles a file here, or on the phone that is named, and prints."""
    chosen = read_delegate(delegate)
    with console.progress() as progress:
        from mobilevit_deploy.measurement.android.attached import open_phone
        from mobilevit_deploy.measurement.benchmark_model.run import check_file
        from mobilevit_deploy.measurement.latency.android import THREADS
        from mobilevit_deploy.measurement.profiling.document import tflite_profile_document
        from mobilevit_deploy.measurement.profiling.tflite import TfliteProfileRequest, profile_tflite
        from mobilevit_deploy.report.profiling import tflite_profile_table
        from mobilevit_deploy.system.environment import choose_threads

        check_file(artifact)  # what cannot be is refused before the phone is asked
        phone = open_phone(one_device(device)) if device else None
        count = (threads or THREADS) if phone else choose_threads(threads)
        report = profile_tflite(TfliteProfileRequest(artifact, count, binary, chosen, seconds, phone), progress)
    if json:
        console.print_json(tflite_profile_document(report, depth))
    else:
        console.print_result(tflite_profile_table(report, depth))
