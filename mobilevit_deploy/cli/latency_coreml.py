"""``mvd latency --backend coreml``."""

from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.artifacts import find_artifacts, print_latencies, store


@dataclass(frozen=True)
class PhoneOptions:
    """What was asked for of the device; ``device`` is ``host`` for this Mac."""

    device: str
    compute_units: tuple[str, ...] = ()
    team: str | None = None
    load_limit_s: float | None = None


def measure_packages(
    models: list[str],
    out: Path,
    batch: int | None,
    size: tuple[int, ...] | None,
    seconds: float | None,
    options: PhoneOptions,
    json: bool,
) -> None:
    """Checks the device, exports what is not there, measures, and prints."""
    with console.progress() as progress:
        from mobilevit_deploy.apple.compute_units import read_compute_units

        units = read_compute_units(options.compute_units)  # what cannot be is refused before anything is exported
        from mobilevit_deploy.apple.open import HOST, named_packages, open_place

        named = named_packages(models)
        place = open_place(options.device, options.team, options.load_limit_s, progress, packages=named)
        from mobilevit_deploy.measurement.latency.coreml import IPHONE_SECONDS, CoreMLRequest, measure_coreml
        from mobilevit_deploy.measurement.latency.document import coreml_document
        from mobilevit_deploy.measurement.latency.measure import SECONDS
        from mobilevit_deploy.report.coreml import coreml_table

        artifacts = find_artifacts(models, out, batch, "coreml", progress, size)
        default = SECONDS if options.device == HOST else IPHONE_SECONDS
        request = CoreMLRequest(artifacts, units, default if seconds is None else seconds)
        reports = measure_coreml(request, place, progress)
        store(reports, coreml_document)
    names = [f"{report.artifact.name} on {report.compute_units}" for report in reports]
    print_latencies(reports, names, coreml_document, coreml_table, json)
