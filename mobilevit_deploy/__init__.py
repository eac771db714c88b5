"""mvd: from a trained lightweight vision transformer to a verified ONNX or Core ML file.

The command line is a thin layer over these functions. They are imported on first use, so that importing the
package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mobilevit_deploy.errors import MvdError
    from mobilevit_deploy.export import ExportReport, ExportRequest, ParityFailedError, export_model
    from mobilevit_deploy.latency import LatencyReport, LatencyRequest, measure_latency
    from mobilevit_deploy.load import LoadedModel, ModelRequest, load_model

__all__ = [
    "ExportReport",
    "ExportRequest",
    "LatencyReport",
    "LatencyRequest",
    "LoadedModel",
    "ModelRequest",
    "MvdError",
    "ParityFailedError",
    "__version__",
    "export_model",
    "load_model",
    "measure_latency",
]

_HOMES = {
    "ExportReport": "export",
    "ExportRequest": "export",
    "LatencyReport": "latency",
    "LatencyRequest": "latency",
    "LoadedModel": "load",
    "ModelRequest": "load",
    "MvdError": "errors",
    "ParityFailedError": "export",
    "export_model": "export",
    "load_model": "load",
    "measure_latency": "latency",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
