"""Where Core ML would compute each operation: its compute plan, by operation and module.

A plan is what Core ML intends before it runs anything. Its costs are estimates, as shares of the whole, and not times.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy.apple.compute_units import COREMLTOOLS, NEURAL_ENGINE, device_name
from mobilevit_deploy.apple.packages import check_package
from mobilevit_deploy.apple.place import Place
from mobilevit_deploy.apple.tensor_twin import tensor_twin
from mobilevit_deploy.catalog.cards import ComputeUnits
from mobilevit_deploy.catalog.formats import tool_versions
from mobilevit_deploy.errors import CheckFailedError, MeasurementError
from mobilevit_deploy.graph.module_notes import module_paths
from mobilevit_deploy.inspection import inspect_artifact
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.targets.coreml.mil.package import Package
from mobilevit_deploy.targets.coreml.quiet import quiet_coreml
from mobilevit_deploy.targets.coreml.rules import rewrites_against

Progress = Callable[[str], None]

MAIN = "main"  # the function of a package that has one


@dataclass(frozen=True)
class PlannedOperation:
    """One operation as Core ML plans it.

    Attributes:
        name: of its first result.
        op: MIL's name of the op.
        module: it comes from; empty for the model itself, None where it is not known.
        preferred: the device that Core ML means to use.
        supported: devices that could.
        cost: estimated, as a share of the whole; None where Core ML gives none.
        rules: what ``mvd inspect`` finds wrong with it.
        rewrites: that may write it otherwise.
    """

    name: str
    op: str
    module: str | None
    preferred: str
    supported: tuple[str, ...]
    cost: float | None
    rules: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()

    @property
    def on_neural_engine(self) -> bool:
        """Tells whether Core ML means to use the Neural Engine for it."""
        return self.preferred == NEURAL_ENGINE


@dataclass(frozen=True)
class PlanReport:
    """The plan of one package on one device.

    Attributes:
        artifact: the package.
        sha256: of its content.
        compute_units: that Core ML might use.
        operations: in order, constants left out.
        twin_changes: what differs between the package and the one that was planned; empty for none.
        environment: the device, its system, and all versions.
    """

    artifact: Path
    sha256: str
    compute_units: ComputeUnits
    operations: tuple[PlannedOperation, ...]
    twin_changes: tuple[str, ...]
    environment: Mapping[str, Any]

    @property
    def cost_by_device(self) -> dict[str, float]:
        """Returns each device's share of the cost, the largest first."""
        shares: dict[str, float] = {}
        for operation in self.operations:
            shares[operation.preferred] = shares.get(operation.preferred, 0.0) + (operation.cost or 0.0)
        whole = sum(shares.values()) or 1.0
        return {name: cost / whole for name, cost in sorted(shares.items(), key=lambda item: -item[1])}

    @property
    def neural_engine_share(self) -> float:
        """Returns the share of the cost on the Neural Engine."""
        return self.cost_by_device.get(NEURAL_ENGINE, 0.0)

    @property
    def left(self) -> tuple[PlannedOperation, ...]:
        """Returns the operations off the Neural Engine, the one that costs most first."""
        return tuple(
            sorted(
                (item for item in self.operations if not item.on_neural_engine), key=lambda item: -(item.cost or 0.0)
            )
        )

    def require(self, share: float) -> None:
        """Raises CheckFailedError when less of the cost is on the Neural Engine, MeasurementError without costs."""
        if not any(operation.cost for operation in self.operations):
            raise MeasurementError(
                f"Core ML estimates no costs for {self.artifact.name}, so there is no share", "leave --require-ne out"
            )
        if self.neural_engine_share < share:
            first = self.left[0]
            raise CheckFailedError(
                f"{self.neural_engine_share:.1%} of {self.artifact.name}'s estimated cost is on the Neural Engine, "
                f"and {share:.1%} is required; the operation off it that costs most is {first.op} {first.name}",
                "the table names the operations that left it, their modules, and rewrites; mvd inspect says more",
            )


def plan_package(
    path: Path,
    units: ComputeUnits,
    place: Place,
    progress: Progress = lambda _stage: None,
) -> PlanReport:
    """Asks a device how it would run a package.

    Args:
        path: the package.
        units: that Core ML may use.
        place: an iPhone's ``RunnerApp``, or ``ThisMac``.
        progress: is told each stage.

    Raises:
        ArtifactError: the package is damaged.
        MeasurementError: it is no package, the device refuses it or went away, or Core ML has no plan for it.
    """
    check_package(path, place)
    sha256, _ = measure_files(path)
    package = Package(path)
    model, metadata = package.network, package.model.description.metadata.userDefined
    with place as opened:
        progress(f"asking for the compute plan of {path.name} on {units}")
        twin = tensor_twin(path, opened.folder)
        planned = _ask(twin.path, units, opened, model.description.defaultFunctionName or MAIN)
        environment = {**opened.facts(), "versions": tool_versions()}
    operations = tuple(_describe(planned, model, metadata, path))
    if not operations:
        raise MeasurementError(f"Core ML has no compute plan for {path.name}", "it takes an ML Program and iOS 17.4")
    return PlanReport(path, sha256, units, operations, twin.changes, environment)


@dataclass(frozen=True)
class _Planned:
    preferred: str
    supported: tuple[str, ...]
    cost: float | None


def _ask(path: Path, units: ComputeUnits, place: Place, function: str) -> dict[str, _Planned]:
    """Returns the plan by the name of each operation's first result."""
    with quiet_coreml():
        import coremltools

        chosen = coremltools.ComputeUnit[COREMLTOOLS[units]]
    try:
        return dict(place.run(_plan(path, chosen, place, function)))
    except MeasurementError:
        raise
    except Exception as error:  # what Core ML and coremltools raise are many kinds
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MeasurementError(f"Core ML plans no {path.name}: {said}", "mvd inspect, mvd verify") from error


async def _plan(path: Path, units: Any, place: Place, function: str) -> list[tuple[str, _Planned]]:
    from coremltools.models.compute_plan import MLComputePlan
    from coremltools.models.ml_program.experimental.async_wrapper import MLModelAsyncWrapper
    from coremltools.models.utils import compile_model

    if place.device is None:
        compiled = compile_model(str(path), str(place.folder / f"{path.stem}.mlmodelc"))
        return list(_read(MLComputePlan.load_from_path(compiled, compute_units=units), function))
    # load_from_path_on_device would leave the model loaded on the iPhone, so its parts are called one by one.
    model = MLModelAsyncWrapper.from_spec_or_path(str(path), weights_dir="", compute_units=units, device=place.device)
    await model.load()
    try:
        return list(_read(await model.retrieve_compute_plan(), function))
    finally:
        await model.unload()


def _read(plan: Any, function: str) -> Iterator[tuple[str, _Planned]]:
    for operation in plan.model_structure.program.functions[function].block.operations:
        usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
        if usage is None or not operation.outputs:
            continue
        cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
        planned = _Planned(
            device_name(usage.preferred_compute_device),
            tuple(map(device_name, usage.supported_compute_devices)),
            None if cost is None else float(cost.weight),
        )
        yield operation.outputs[0].name, planned


def _describe(
    planned: Mapping[str, _Planned], model: Any, metadata: Mapping[str, str], path: Path
) -> Iterator[PlannedOperation]:
    """Yields the operations that have a plan, with what the package and ``mvd inspect`` know of them."""
    functions = model.mlProgram.functions
    function = functions[model.description.defaultFunctionName or MAIN]
    operations = function.block_specializations[function.opset].operations
    modules = module_paths(operations, metadata)
    rules: dict[str, list[str]] = {}
    for finding in inspect_artifact(path).findings:
        rules.setdefault(finding.at, []).append(finding.rule)
    for operation in operations:
        name = operation.outputs[0].name if operation.outputs else ""
        if operation.type == "const" or name not in planned:
            continue
        found: Sequence[str] = () if planned[name].preferred == NEURAL_ENGINE else rules.get(name, ())
        yield PlannedOperation(
            name,
            operation.type,
            modules[name],
            planned[name].preferred,
            planned[name].supported,
            planned[name].cost,
            tuple(found),
            tuple(dict.fromkeys(rewrite for rule in found for rewrite in rewrites_against(rule))),
        )
