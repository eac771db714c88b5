"""mvd: from a trained lightweight vision transformer to a verified ONNX or Core ML file.

The command line is a thin layer over these functions. They are imported on first use, so that importing the
package costs nothing. ``docs/how-to/python.md`` has an example of each.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mobilevit_deploy.system.version import __version__

if TYPE_CHECKING:
    from mobilevit_deploy.checks.run import Checked, GatesRequest, run_checks
    from mobilevit_deploy.errors import CheckFailedError, MvdError
    from mobilevit_deploy.export.export import ParityFailedError, export_model
    from mobilevit_deploy.export.report import ExportReport
    from mobilevit_deploy.images.annotations import Annotations
    from mobilevit_deploy.inspection import Inspection, inspect_artifact, inspect_model
    from mobilevit_deploy.loading.model import LoadedModel, ModelRequest, load_model
    from mobilevit_deploy.loading.model_head import HeadOptions
    from mobilevit_deploy.measurement.comparison import Comparison, ComparisonRequest, compare_artifacts
    from mobilevit_deploy.measurement.latency import LatencyReport, LatencyRequest, measure_latency
    from mobilevit_deploy.measurement.profiling import ProfileReport, ProfileRequest, profile_artifact
    from mobilevit_deploy.measurement.tuning.timing import this_machine
    from mobilevit_deploy.measurement.tuning.tune import TuneReport, TuneRequest, tune_model
    from mobilevit_deploy.pipeline.request import ExportRequest
    from mobilevit_deploy.report.matrix.record import Sweep
    from mobilevit_deploy.report.snippet.snippet import Snippet, SnippetRequest, write_snippet
    from mobilevit_deploy.sweep.run import SweepRequest, run_sweep
    from mobilevit_deploy.targets.app_options import AppOptions
    from mobilevit_deploy.verification.prediction import PredictReport, PredictRequest, predict
    from mobilevit_deploy.verification.report import VerifyFailedError, VerifyReport
    from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact

_HOMES = {
    "Annotations": "images.annotations",
    "AppOptions": "targets.app_options",
    "CheckFailedError": "errors",
    "Checked": "checks.run",
    "Comparison": "measurement.comparison",
    "ComparisonRequest": "measurement.comparison",
    "ExportReport": "export.report",
    "ExportRequest": "pipeline.request",
    "GatesRequest": "checks.run",
    "HeadOptions": "loading.model_head",
    "Inspection": "inspection",
    "LatencyReport": "measurement.latency",
    "LatencyRequest": "measurement.latency",
    "LoadedModel": "loading.model",
    "ModelRequest": "loading.model",
    "MvdError": "errors",
    "ParityFailedError": "export.export",
    "PredictReport": "verification.prediction",
    "PredictRequest": "verification.prediction",
    "ProfileReport": "measurement.profiling",
    "ProfileRequest": "measurement.profiling",
    "Snippet": "report.snippet.snippet",
    "SnippetRequest": "report.snippet.snippet",
    "Sweep": "report.matrix.record",
    "SweepRequest": "sweep.run",
    "TuneReport": "measurement.tuning.tune",
    "TuneRequest": "measurement.tuning.tune",
    "VerifyFailedError": "verification.report",
    "VerifyReport": "verification.report",
    "VerifyRequest": "verification.verify",
    "compare_artifacts": "measurement.comparison",
    "export_model": "export.export",
    "inspect_artifact": "inspection",
    "inspect_model": "inspection",
    "load_model": "loading.model",
    "measure_latency": "measurement.latency",
    "predict": "verification.prediction",
    "profile_artifact": "measurement.profiling",
    "run_checks": "checks.run",
    "run_sweep": "sweep.run",
    "this_machine": "measurement.tuning.timing",
    "tune_model": "measurement.tuning.tune",
    "verify_artifact": "verification.verify",
    "write_snippet": "report.snippet.snippet",
}

__all__ = [
    "Annotations",
    "AppOptions",
    "CheckFailedError",
    "Checked",
    "Comparison",
    "ComparisonRequest",
    "ExportReport",
    "ExportRequest",
    "GatesRequest",
    "HeadOptions",
    "Inspection",
    "LatencyReport",
    "LatencyRequest",
    "LoadedModel",
    "ModelRequest",
    "MvdError",
    "ParityFailedError",
    "PredictReport",
    "PredictRequest",
    "ProfileReport",
    "ProfileRequest",
    "Snippet",
    "SnippetRequest",
    "Sweep",
    "SweepRequest",
    "TuneReport",
    "TuneRequest",
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
    "predict",
    "profile_artifact",
    "run_checks",
    "run_sweep",
    "this_machine",
    "tune_model",
    "verify_artifact",
    "write_snippet",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
