"""What coremltools' native library does, which its package for Linux lacks: the classes that its Python code asks for.

Compiling a package makes a folder with ``program.json``, which the stand-in iPhone reads, and the plan of this Mac too.
"""

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from tests.support.apple_tools import phone
from tests.support.apple_tools.core_ml_model import CoreMLModel

ARRAY_TYPES = {65552: "Float16", 65568: "Float32", 65600: "Float64", 131104: "Int32"}


class _MLComputePlanProxy:
    """A compute plan; coremltools' own for an iPhone is a subclass."""


class _MLCPUComputeDeviceProxy:
    pass


class _MLGPUComputeDeviceProxy:
    pass


class _MLNeuralEngineComputeDeviceProxy:
    pass


class _MLModelAssetProxy:
    pass


class _MLModelProxy:
    """A model that this Mac has loaded."""

    predictions: ClassVar[int] = 0
    loads: ClassVar[int] = 0

    def __init__(self, path: str, units: str, function: str, _hints: Any, _asset: Any = None) -> None:
        self._model = CoreMLModel(path, SimpleNamespace(name=units), function or None)
        self._last: tuple[Any, dict[str, Any]] | None = None
        type(self).loads += 1
        self._load_ms = phone.FIRST_LOAD_MS if self.loads == 1 else phone.NEXT_LOAD_MS

    @staticmethod
    def maximum_supported_specification_version() -> int:
        return 9

    @staticmethod
    def compileModel(path: str) -> str:  # noqa: N802 - the library's own name
        folder = Path(tempfile.mkdtemp()) / "compiled.mlmodelc"
        folder.mkdir()
        (folder / "program.json").write_text(json.dumps(summarise(path)))
        return str(folder)

    def predict(self, data: Any, _state: Any = None) -> dict[str, Any]:
        type(self).predictions += 1
        (given,) = data.values()
        if self._last is None or self._last[0] is not given:  # a benchmark gives the same again and again
            self._last = (given, self._model.predict(data))
        return self._last[1]

    def get_load_duration_in_nano_seconds(self) -> int:
        return int(1e6 * self._load_ms)

    def get_last_predict_duration_in_nano_seconds(self) -> int:
        return int(1e6 * phone.PREDICTIONS_MS[self.predictions % len(phone.PREDICTIONS_MS)])

    @staticmethod
    def get_model_structure(compiled: str) -> Any:
        return structure(read_program(compiled))

    @staticmethod
    def get_compute_plan(compiled: str, units: str) -> Any:
        from coremltools.models.compute_plan import MLComputePlan

        return MLComputePlan(_LocalPlan(read_program(compiled), units))


class _LocalPlan(_MLComputePlanProxy):
    def __init__(self, program: dict[str, Any], units: str) -> None:
        self.model_structure = structure(program)
        self._planned = {
            name: item
            for operations in program["functions"].values()
            for (name, _), item in zip(operations, phone.planned(operations, units), strict=True)
        }

    def get_compute_device_usage_for_mlprogram_operation(self, operation: Any) -> Any:
        from coremltools.models import compute_device
        from coremltools.models.compute_plan import MLComputePlanDeviceUsage

        made = {
            "cpu": lambda: compute_device.MLCPUComputeDevice(_MLCPUComputeDeviceProxy()),
            "gpu": lambda: compute_device.MLGPUComputeDevice(_MLGPUComputeDeviceProxy()),
            "neuralEngine": lambda: compute_device.MLNeuralEngineComputeDevice(_MLNeuralEngineComputeDeviceProxy()),
        }
        usage, _ = self._planned[operation.outputs[0].name]
        devices = [made[name]() for name in usage]
        return MLComputePlanDeviceUsage(devices[0], devices) if devices else None

    def get_estimated_cost_for_mlprogram_operation(self, operation: Any) -> Any:
        from coremltools.models.compute_plan import MLComputePlanCost

        return MLComputePlanCost(self._planned[operation.outputs[0].name][1])


def read_program(compiled: str) -> dict[str, Any]:
    program: dict[str, Any] = json.loads((Path(compiled) / "program.json").read_text())
    return program


def summarise(path: str) -> dict[str, Any]:
    """Returns inputs, outputs and operations of a package."""
    from coremltools.models.utils import load_spec

    model = load_spec(path)
    inputs = [
        {
            "name": item.name,
            "shape": list(item.type.multiArrayType.shape),
            "type": ARRAY_TYPES.get(item.type.multiArrayType.dataType),
        }
        for item in model.description.input
    ]
    kinds = {item.name: item.type.WhichOneof("Type") for item in model.description.output}
    functions = {
        name: [
            [operation.outputs[0].name, operation.type]
            for operation in function.block_specializations[function.opset].operations
        ]
        for name, function in model.mlProgram.functions.items()
    }
    unsupported = [name for name, kind in kinds.items() if kind != "multiArrayType"]
    return {"inputs": inputs, "outputs": list(kinds), "unsupported_outputs": unsupported, "functions": functions}


def structure(program: dict[str, Any]) -> Any:
    """Returns coremltools' own description of a program."""
    from coremltools.models import compute_plan as plan

    def operation(name: str, kind: str) -> Any:
        output = plan.MLModelStructureProgramNamedValueType(name, plan.MLModelStructureProgramValueType())
        return plan.MLModelStructureProgramOperation({}, kind, [output], [], None)

    functions = {
        name: plan.MLModelStructureProgramFunction(
            [], plan.MLModelStructureProgramBlock([], [operation(*item) for item in operations], [])
        )
        for name, operations in program["functions"].items()
    }
    return plan.MLModelStructure(None, plan.MLModelStructureProgram(functions), None)
