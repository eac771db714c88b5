"""One package in coremltools' benchmark: loaded, predicted, unloaded, on an iPhone or on this Mac."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.apple.compute_units import COREMLTOOLS
from mobilevit_deploy.apple.place import Place
from mobilevit_deploy.apple.tensor_twin import Twin
from mobilevit_deploy.catalog.cards import ComputeUnits
from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.latency.sampling import BLOCK_S, FEWEST_RUNS, collect
from mobilevit_deploy.targets.coreml.mil.features import Feature, describe
from mobilevit_deploy.targets.coreml.mil.package import Package
from mobilevit_deploy.targets.coreml.quiet import quiet_coreml

LOADS_AGAIN = 2
WARMUP_RUNS = 3
MOST_RUNS = 200  # of a block
NUMPY_TYPES = {65552: np.float16, 65568: np.float32, 65600: np.float64, 131104: np.int32}  # of ArrayDataType


@dataclass
class Block:
    """Neighbouring predictions, and what they took from outside."""

    samples_ms: tuple[float, ...]
    wall_s: float


class Benchmark:
    """One package on one choice of compute units, loaded at most once at a time."""

    def __init__(self, path: Path, units: ComputeUnits, place: Place, inputs: Mapping[str, Any]) -> None:
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

    def predict(self, seconds: float) -> list[Block]:
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

    def _predict(self, runs: int) -> Block:
        return self._call(self._benchmarker.benchmark_predict(dict(self._inputs), iterations=runs))

    def _call(self, call: Any) -> Block:
        begin = time.perf_counter()
        try:
            measured = self._place.run(call)
        except MeasurementError:
            raise
        except Exception as error:  # what Core ML and coremltools raise are many kinds
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise MeasurementError(f"Core ML does not run {self._name}: {said}", "mvd inspect, mvd verify") from error
        return Block(tuple(measured.samples), time.perf_counter() - begin)


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


def random_arrays(features: Sequence[tuple[Feature, Any]]) -> dict[str, Any]:
    """Returns an array for each input, of values between 0 and 1, always the same."""
    generator = np.random.default_rng(0)
    return {feature.name: generator.random(feature.shape).astype(element) for feature, element in features}
