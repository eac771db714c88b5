"""``mvd latency --backend coreml``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.latency import find_artifacts, store

if TYPE_CHECKING:
    from collections.abc import Callable

    from mobilevit_deploy.apple.place import Place

HOST = "host"


@dataclass(frozen=True)
class PhoneOptions:
    """What was asked for of the device; ``device`` is ``host`` for this Mac."""

    device: str
    compute_units: tuple[str, ...] = ()
    team: str | None = None
    load_limit_s: float | None = None


def measure_packages(
    models: list[str], out: Path, batch: int | None, seconds: float | None, options: PhoneOptions, json: bool
) -> None:
    """Checks the device, exports what is not there, measures, and prints."""
    with console.progress() as progress:
        from mobilevit_deploy.apple.compute_units import read_compute_units

        units = read_compute_units(options.compute_units)  # what cannot be is refused before anything is exported
        place = open_place(options, progress)
        from mobilevit_deploy.latency.coreml import IPHONE_SECONDS, CoreMLRequest, measure_coreml
        from mobilevit_deploy.latency.measure import SECONDS
        from mobilevit_deploy.report.coreml import coreml_document, coreml_table

        artifacts = find_artifacts(models, out, batch, "coreml", progress)
        default = SECONDS if options.device == HOST else IPHONE_SECONDS
        request = CoreMLRequest(artifacts, units, default if seconds is None else seconds)
        reports = measure_coreml(request, place, progress)
        store(reports, coreml_document)
    for report in reports:
        for warning in report.warnings:
            console.warn(f"{report.artifact.name} on {report.compute_units}: {warning}")
    if not all(report.stable for report in reports):
        console.warn("figures that are not stable are not to be cited")
    if json:
        console.print_json({"schema": 1, "results": [coreml_document(report) for report in reports]})
    else:
        console.print_result(coreml_table(reports))


def open_place(
    options: PhoneOptions, progress: "Callable[[str], None]", oldest_ios: tuple[int, int] | None = None
) -> "Place":
    """Returns where Core ML is to run, checked as far as it can be without building anything.

    Raises:
        MeasurementError: Core ML does not run here, or something stands in the way on the iPhone.
        UsageError: the team is no ID of a team.
    """
    if options.device == HOST:
        from mobilevit_deploy.apple.place import ThisMac, require_mac

        require_mac()
        return ThisMac()
    from mobilevit_deploy.apple.attached import OLDEST_IOS
    from mobilevit_deploy.apple.preflight import check_device

    progress(f"looking for {options.device}")
    ready = check_device(options.device, options.team, oldest_ios or OLDEST_IOS)
    from mobilevit_deploy.apple.app import RunnerApp

    return RunnerApp(ready, options.load_limit_s, progress)
