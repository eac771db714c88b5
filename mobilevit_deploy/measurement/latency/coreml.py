"""Latency in Core ML, on an iPhone or on this Mac, by coremltools' own benchmark."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy.apple.packages import check_package
from mobilevit_deploy.apple.place import Place
from mobilevit_deploy.apple.tensor_twin import tensor_twin
from mobilevit_deploy.catalog.cards import ComputeUnits
from mobilevit_deploy.catalog.formats import tool_versions
from mobilevit_deploy.measurement.latency.coreml_benchmark import Benchmark, described_inputs, random_arrays
from mobilevit_deploy.measurement.latency.sampling import PRECISION
from mobilevit_deploy.measurement.latency.stability import DRIFT_LIMIT
from mobilevit_deploy.measurement.latency.statistics import Statistics, summarise
from mobilevit_deploy.system.hashing import measure_files

Progress = Callable[[str], None]

IPHONE_SECONDS = 120.0  # predictions are seconds apart
TIMED = "one call of MLModel.prediction, by its own process; copying the input to it is not counted"


@dataclass(frozen=True)
class CoreMLReport:
    """One package's latency on one choice of compute units; ``stable`` is False where ``warnings`` say why.

    Attributes:
        artifact: the package.
        sha256: of its content.
        compute_units: that Core ML might use.
        on_iphone: measured there, and not on this Mac.
        input_shape: of its first input.
        twin_changes: what differs between the package and the one that was measured; empty for none.
        warmup: predictions before those that count.
        samples_ms: of each prediction, in order.
        statistics: of these; the interval is over blocks of neighbouring predictions.
        load_ms: the first load, of a package that the device has not seen under this path.
        second_load_ms: loading it again, median.
        seconds_between_calls: from one prediction to the next, mean.
        thermal_state: before and after; None where the device does not tell.
        warnings: why the figures may not be cited.
        environment: the device, its system, and all versions.
    """

    artifact: Path
    sha256: str
    compute_units: ComputeUnits
    on_iphone: bool
    input_shape: tuple[int, ...]
    twin_changes: tuple[str, ...]
    warmup: int
    samples_ms: tuple[float, ...]
    statistics: Statistics
    load_ms: float
    second_load_ms: float
    seconds_between_calls: float
    thermal_state: tuple[str | None, str | None]
    warnings: tuple[str, ...]
    environment: Mapping[str, Any]

    @property
    def stable(self) -> bool:
        """Tells whether nothing that was seen speaks against the figures."""
        return not self.warnings

    @property
    def batch(self) -> int:
        """Returns how many images one prediction takes."""
        return self.input_shape[0] if self.input_shape else 1

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns what has to stand beside the figures wherever they are shown."""
        found = [f"timed: {TIMED}"]
        if self.on_iphone:
            found.append(
                f"predictions are {self.seconds_between_calls:.1f} s apart, so the clocks may have dropped between "
                "them: an app that predicts all the time may be faster, or hotter and slower"
            )
        before, after = self.thermal_state
        found.append(f"thermal state: {f'{before} before, {after} after' if before else 'not told by the device'}")
        return (*found, *(f"measured through a twin: {change}" for change in self.twin_changes))


@dataclass(frozen=True)
class CoreMLRequest:
    """Which packages to measure, and how.

    Attributes:
        artifacts: packages.
        compute_units: each is measured by itself.
        seconds: time limit of the predictions of each.
    """

    artifacts: Sequence[Path]
    compute_units: Sequence[ComputeUnits] = ("all",)
    seconds: float = IPHONE_SECONDS


def measure_coreml(
    request: CoreMLRequest, place: Place, progress: Progress = lambda _stage: None
) -> list[CoreMLReport]:
    """Measures every package on every choice of compute units, one after the other.

    Args:
        request: what to measure.
        place: an iPhone's ``RunnerApp``, or ``ThisMac``; it is opened once.
        progress: is told each stage.

    Raises:
        ArtifactError: a package is damaged.
        MeasurementError: a package cannot be measured, or the device refuses it or went away.
    """
    for path in request.artifacts:
        check_package(path, place)  # what cannot be is refused before anything is built
    reports = []
    with place as opened:
        for path in request.artifacts:
            for units in request.compute_units:
                progress(f"measuring {path.name} on {units}")
                reports.append(_measure_one(path, units, request.seconds, opened))
    return reports


def _measure_one(path: Path, units: ComputeUnits, seconds: float, place: Place) -> CoreMLReport:
    sha256, _ = measure_files(path)
    twin = tensor_twin(path, place.folder)
    features = described_inputs(twin)
    before = place.thermal_state()
    benchmark = Benchmark(twin.path, units, place, random_arrays(features))
    try:
        load_ms, second_load_ms = benchmark.load()
        blocks = benchmark.predict(seconds)
    finally:
        benchmark.close()
    samples = [block.samples_ms for block in blocks]
    statistics = summarise(samples)
    calls = sum(map(len, samples))
    thermal = (before, place.thermal_state())
    return CoreMLReport(
        artifact=path,
        sha256=sha256,
        compute_units=units,
        on_iphone=place.device is not None,
        input_shape=features[0][0].shape,
        twin_changes=twin.changes,
        warmup=benchmark.warmup,
        samples_ms=tuple(sample for block in samples for sample in block),
        statistics=statistics,
        load_ms=load_ms,
        second_load_ms=second_load_ms,
        seconds_between_calls=sum(block.wall_s for block in blocks) / calls,
        thermal_state=thermal,
        warnings=_doubts(statistics, thermal),
        environment={**place.facts(), "versions": tool_versions()},
    )


def _doubts(statistics: Statistics, thermal: tuple[str | None, str | None]) -> tuple[str, ...]:
    found = []
    if not statistics.precision <= PRECISION:
        found.append(
            f"the median may be off by {statistics.precision:.1%}, and {PRECISION:.0%} is asked of it: "
            "give more time with --seconds"
        )
    if statistics.drift > DRIFT_LIMIT:
        found.append(
            f"the medians of the run's thirds lie {statistics.drift:.0%} apart: the device is busy or throttling"
        )
    if hot := sorted({state for state in thermal if state not in (None, "nominal")}):
        found.append(f"the thermal state was {' and '.join(map(str, hot))}")
    return tuple(found)
