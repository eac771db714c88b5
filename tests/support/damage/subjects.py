"""What is damaged: a small network, exported to each target in each precision."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.images.test_images import make_samples
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.app_options import AppOptions

NET = "tests.research.small_net:build"


@dataclass(frozen=True)
class Subject:
    """A target, a precision, and the share of the weights that is set to zero."""

    target: str
    precision: Any
    prune: float | None = None

    def __str__(self) -> str:
        return f"{self.target} {self.precision}" + (f", {self.prune:.0%} pruned" if self.prune else "")

    def export(self, folder: Path) -> Path:
        """Exports the network into a folder and returns the file."""
        images = folder.with_suffix(".npy")
        np.save(images, make_samples(16, 3, 32, 32))
        request = ExportRequest(
            ModelRequest(NET, size=(32, 32)),
            (self.target,),
            folder=folder,
            precision=self.precision,
            app=AppOptions(prune=self.prune),
            calibrate=images if self.precision == "int8" else None,
        )
        (report,) = export_model(request)
        return report.artifact.path


SUBJECTS = [
    *(Subject("onnx", precision) for precision in ("fp32", "fp16", "int8")),
    *(Subject("coreml", precision) for precision in ("fp32", "fp16", "w8", "w6", "w4")),
    Subject("coreml", "fp16", 0.5),
    *(Subject("executorch", precision) for precision in ("fp32", "int8")),
    *(Subject("coreai", precision) for precision in ("fp32", "fp16")),
]
