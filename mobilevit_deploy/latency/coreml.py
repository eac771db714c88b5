"""Latency in Core ML, on an iPhone or on this Mac, by coremltools' own benchmark."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.apple.compute_units import COREMLTOOLS
from mobilevit_deploy.apple.place import Place
from mobilevit_deploy.apple.tensor_twin import Twin, tensor_twin
from mobilevit_deploy.catalog import ComputeUnits
from mobilevit_deploy.environment import tool_versions
from mobilevit_deploy.errors import ArtifactError, MeasurementError
from mobilevit_deploy.hashing import measure_files
from mobilevit_deploy.latency.sampling import BLOCK_S, FEWEST_RUNS, PRECISION, collect
from mobilevit_deploy.latency.stability import DRIFT_LIMIT
from mobilevit_deploy.latency.statistics import Statistics, summarise
from mobilevit_deploy.mil.features import Feature, describe
from mobilevit_deploy.mil.package import Package

Progress = Callable[[str], None]

SUFFIX = ".mlpackage"
IPHONE_SECONDS = 120.0  # predictions are seconds apart
LOADS_AGAIN = 2
WARMUP_RUNS = 3
MOST_RUNS = 200  # of a block
SPACED_S = 0.2  # from here on the device idles longer than it computes
TIMED = "one call of MLModel.prediction, by its own process; copying the input to it is not counted"
NUMPY_TYPES = {65552: np.float16, 65568: np.float32, 65600: np.float64, 131104: np.int32}  # of ArrayDataType


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
        if self.seconds_between_calls > SPACED_S:
            found.append(
                f"predictions are {self.seconds_between_calls:.1f} s apart, so the clocks may have dropped between "
                "them: an app that predicts all the time may be faster, or hotter and slower"
            )
        before, after = self.thermal_state
        found.append(f"thermal state: {f'{before} before, {after} after' if before else 'not told by the device'}")
        return (*found, *(f"measured through a twin: {change}" for change in self.twin_changes))


@dataclass
class _Block:
    """Neighbouring predictions, and what they took from outside."""

    samples_ms: tuple[float, ...]
    wall_s: float


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


def check_package(path: Path) -> None:
    """Raises MeasurementError when there is no such package."""
    if not path.exists():
        raise MeasurementError(f"there is no file {path}", "mvd export --to coreml makes one")
    if path.suffix != SUFFIX:
        raise MeasurementError(f"{path} is no {SUFFIX}", f"Core ML runs {SUFFIX} packages; mvd export --to coreml")


def measure_coreml(
    request: CoreMLRequest, place: AbstractContextManager[Place], progress: Progress = lambda _stage: None
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
        check_package(path)
        Package(path)  # what is damaged is refused before anything is built
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
    benchmark = _Benchmark(twin.path, units, place, random_arrays(features))
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


class _Benchmark:
    """One package on one choice of compute units, loaded at most once at a time."""

    def __init__(self, path: Path, units: ComputeUnits, place: Place, inputs: Mapping[str, Any]) -> None:
        from mobilevit_deploy.targets.coreml import quiet_coreml

        with quiet_coreml():
            import coremltools
            from coremltools.models.ml_program.experimental.perf_utils import MLModelBenchmarker

            chosen = coremltools.ComputeUnit[COREMLTOOLS[units]]
            model = coremltools.models.MLModel(str(path), compute_units=chosen, skip_model_load=True)
            self._benchmarker = MLModelBenchmarker(model, place.device)
        self._name, self._place, self._inputs = path.name, place, inputs
        self.warmup = 0

    def load(self) -> tuple[float, float]:
        """Returns the first load and the median of later ones, in milliseconds; the first one stays loaded."""
        first = self._call(self._benchmarker.benchmark_load(1))
        again = self._call(self._benchmarker.benchmark_load(LOADS_AGAIN))
        return first.samples_ms[0], float(np.median(again.samples_ms))

    def predict(self, seconds: float) -> list[_Block]:
        """Returns blocks of predictions until the median is known to 2 %, or the time is over."""
        warm = self._predict(WARMUP_RUNS)
        self.warmup = WARMUP_RUNS
        runs = min(max(FEWEST_RUNS, int(BLOCK_S * WARMUP_RUNS / max(warm.wall_s, 1e-6))), MOST_RUNS)
        return collect(lambda: self._predict(runs), seconds)

    def close(self) -> None:
        """Unloads the package, which coremltools does only when asked; a device that is gone needs none."""
        loaded, self._benchmarker._loaded_model = self._benchmarker._loaded_model, None
        if loaded is None:
            return
        with suppress(MeasurementError):  # what broke the link is being reported already, or the figures are there
            self._place.run(loaded.unload())

    def _predict(self, runs: int) -> _Block:
        return self._call(self._benchmarker.benchmark_predict(dict(self._inputs), iterations=runs))

    def _call(self, call: Any) -> _Block:
        begin = time.perf_counter()
        try:
            measured = self._place.run(call)
        except (MeasurementError, ArtifactError):
            raise
        except Exception as error:  # what Core ML and coremltools raise are many kinds
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise MeasurementError(f"Core ML does not run {self._name}: {said}", "mvd inspect, mvd verify") from error
        return _Block(tuple(measured.samples), time.perf_counter() - begin)


def described_inputs(twin: Twin) -> list[tuple[Feature, Any]]:
    """Returns the inputs of the function that runs by default, with their element types.

    Raises:
        MeasurementError: an input is neither an image nor an array.
    """
    description = Package(twin.path).model.description
    functions = {item.name: item for item in description.functions}
    chosen = functions.get(description.defaultFunctionName, description)
    found = []
    for message in chosen.input:
        feature = describe(message)
        element = NUMPY_TYPES.get(message.type.multiArrayType.dataType) if feature.kind == "array" else None
        if element is None or not feature.shape:
            raise MeasurementError(
                f"{twin.path.name} takes {feature.name}, which is no array of one size", "mvd measures models of images"
            )
        found.append((feature, element))
    if not found:
        raise MeasurementError(f"{twin.path.name} takes no input", "mvd measures models of images")
    return found


def batch_of(path: Path) -> int | None:
    """Returns how many images one prediction of a package takes; None for what is no package of one input."""
    description = Package(path).model.description
    shape = describe(description.input[0]).shape if len(description.input) == 1 else ()
    return shape[0] if shape else None


def random_arrays(features: Sequence[tuple[Feature, Any]]) -> dict[str, Any]:
    """Returns an array for each input, of values between 0 and 1, always the same."""
    generator = np.random.default_rng(0)
    return {feature.name: generator.random(feature.shape).astype(element) for feature, element in features}


def _doubts(statistics: Statistics, thermal: tuple[str | None, str | None]) -> tuple[str, ...]:
    found = []
    if not statistics.precision <= PRECISION:
        found.append(
            f"the median is known to {statistics.precision:.1%} and not to {PRECISION:.0%}: "
            "give more time with --seconds"
        )
    if statistics.drift > DRIFT_LIMIT:
        found.append(
            f"the medians of the run's thirds lie {statistics.drift:.0%} apart: the device is busy or throttling"
        )
    if hot := sorted({state for state in thermal if state not in (None, "nominal")}):
        found.append(f"the thermal state was {' and '.join(map(str, hot))}")
    return tuple(found)
