"""Every model and task as a LiteRT file: converted, and compared by LiteRT's own runtime; int8 of the smallest ones."""

from pathlib import Path

import pytest

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.rewrites.rewrite import TakenBack

pytestmark = pytest.mark.usefixtures("litert")
CARDS = sorted(catalog.models().values(), key=lambda card: card.variant.macs)
CASES = [(card.name, task) for card in CARDS for task in card.family.tasks]
SMALLEST = ("cas_vit_xs", "cloformer_xxs", "lightvit_tiny", "saevit_0p8g")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), [pytest.param(*case, id=".".join(case)) for case in CASES])
def test_export(name: str, task: str, tmp_path: Path) -> None:
    request = ModelRequest(name, task=task)  # type: ignore[arg-type]
    (report,) = export_model(ExportRequest(request, ("litert",), folder=tmp_path))
    assert [(leg.subject, leg.precision, leg.passed) for leg in report.parity.legs] == [
        ("rewritten graph", "fp32", True),
        ("artifact", "fp32", True),  # with XNNPACK
        ("artifact", "fp32", True),  # without
    ]
    for result in report.rewrites:
        assert not any(isinstance(refused, TakenBack) for refused in result.refused), f"{result.name} was taken back"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("name", SMALLEST)
def test_small(name: str, precision: str, tmp_path: Path) -> None:
    calibrate = Path("structured") if precision == "int8" else None
    size = (224, 224) if name == "lightvit_tiny" else (64, 64)
    (report,) = export_model(
        ExportRequest(
            ModelRequest(name, size=size), ("litert",), precision=precision, calibrate=calibrate, folder=tmp_path
        )
    )
    unrounded = [leg for leg in report.parity.legs if "unrounded" in leg.subject]
    assert report.parity.status == "passed"
    assert [(leg.precision, leg.passed) for leg in unrounded] == [("fp32", True)]
