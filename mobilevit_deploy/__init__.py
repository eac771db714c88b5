"""mvd: from a trained lightweight vision transformer to a verified ONNX or Core ML file.

The command line is a thin layer over these functions. They are imported on first use, so that importing the
package costs nothing. ``docs/python.md`` has an example of each.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mobilevit_deploy.app_options import AppOptions
    from mobilevit_deploy.comparison import Comparison, ComparisonRequest, compare_artifacts
    from mobilevit_deploy.errors import CheckFailedError, MvdError
    from mobilevit_deploy.export import ExportReport, ExportRequest, ParityFailedError, export_model
    from mobilevit_deploy.gates.run import Checked, GatesRequest, run_checks
    from mobilevit_deploy.inspection import Inspection, inspect_artifact, inspect_model
    from mobilevit_deploy.latency import LatencyReport, LatencyRequest, measure_latency
    from mobilevit_deploy.load import LoadedModel, ModelRequest, load_model
    from mobilevit_deploy.profiling import ProfileReport, ProfileRequest, profile_artifact
    from mobilevit_deploy.verify import VerifyFailedError, VerifyReport, VerifyRequest, verify_artifact

_HOMES = {
    "AppOptions": "app_options",
    "CheckFailedError": "errors",
    "Checked": "gates.run",
    "Comparison": "comparison",
    "ComparisonRequest": "comparison",
    "ExportReport": "export",
    "ExportRequest": "export",
    "GatesRequest": "gates.run",
    "Inspection": "inspection",
    "LatencyReport": "latency",
    "LatencyRequest": "latency",
    "LoadedModel": "load",
    "ModelRequest": "load",
    "MvdError": "errors",
    "ParityFailedError": "export",
    "ProfileReport": "profiling",
    "ProfileRequest": "profiling",
    "VerifyFailedError": "verify",
    "VerifyReport": "verify",
    "VerifyRequest": "verify",
    "compare_artifacts": "comparison",
    "export_model": "export",
    "inspect_artifact": "inspection",
    "inspect_model": "inspection",
    "load_model": "load",
    "measure_latency": "latency",
    "profile_artifact": "profiling",
    "run_checks": "gates.run",
    "verify_artifact": "verify",
}

__all__ = [
    "AppOptions",
    "CheckFailedError",
    "Checked",
    "Comparison",
    "ComparisonRequest",
    "ExportReport",
    "ExportRequest",
    "GatesRequest",
    "Inspection",
    "LatencyReport",
    "LatencyRequest",
    "LoadedModel",
    "ModelRequest",
    "MvdError",
    "ParityFailedError",
    "ProfileReport",
    "ProfileRequest",
    "VerifyFailedError",
    "VerifyReport",
    "VerifyRequest",
    "__version__",
    "compare_artifacts",
    "export_model",
    "inspect_artifact",
    "inspect_model",
    "load_model",
    "measure_latency",
    "profile_artifact",
    "run_checks",
    "verify_artifact",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
