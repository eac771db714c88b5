"""A converter's refusal names the module and the line of the model's own code, in exports and in inspections."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.inspection.inspect import inspect_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.report.inspection import inspection_table
from mobilevit_deploy.targets import refusal

CODE = """import torch
from torch import nn

class Inner(nn.Module):
    def forward(self, x):
        return torch.{call}(x)

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), Inner())
"""


def request(folder: Path, call: str, target: str) -> ExportRequest:
    place = folder / f"{call.replace('.', '_')}_net.py"
    place.write_text(CODE.format(call=call))
    return ExportRequest(ModelRequest(f"{place}:build", size=(8, 8)), (target,), folder=folder / "out")


@pytest.fixture(autouse=True)
def without_core_ai(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves Core AI, whose process takes seconds to start, out of those that are asked what they take."""
    monkeypatch.setattr(refusal, "installed_targets", lambda: ["coreml", "executorch", "onnx"])


# svdvals is refused under the name of what it is taken apart to, _linalg_svd.
@pytest.mark.parametrize(
    ("target", "call"),
    [
        ("onnx", "linalg.svdvals"),
        ("onnx", "special.bessel_j0"),
        ("coreml", "special.bessel_j0"),
        ("executorch", "linalg.svdvals"),
    ],
)
def test_a_refusal_names_module_and_line(tmp_path: Path, target: str, call: str) -> None:
    with pytest.raises(ConversionError, match=r"\((from special_bessel_j0, )?in 1, line 6 of .*_net\.py\)") as caught:
        export_model(request(tmp_path, call, target))
    assert str(caught.value.hint).startswith(
        "end the model in front of it: return 1x4x6x6, and compute the last operation"
    )
    assert not (tmp_path / "out").exists()


def test_an_inspection_of_a_refused_graph_is_not_clean(tmp_path: Path) -> None:
    (inspection,) = inspect_model(request(tmp_path, "special.bessel_j0", "onnx"))
    assert not inspection.clean
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(inspection_table(inspection))
    text = console.export_text()
    assert "refuses the graph" in text
    assert "no findings" not in text
