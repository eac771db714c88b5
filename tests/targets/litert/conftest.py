"""LiteRT's worker in forks of one process, so that each starts at once; a small network as a file, made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mobilevit_deploy.catalog.formats import format_of, missing_packages
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.litert import child
from tests.conftest import RESEARCH
from tests.support.warm_worker import warm

COLD = child.WORKER  # what a user's is


@pytest.fixture(scope="package")
def litert() -> Iterator[None]:
    """For every test that runs LiteRT: it is no part of the extra dev, and these are left out without it."""
    if missing := missing_packages(format_of("litert")):
        pytest.skip(f"not installed: {', '.join(missing)}")
    with warm("litert") as command, pytest.MonkeyPatch.context() as patch:
        patch.setattr(child, "WORKER", command)
        yield


@pytest.fixture
def cold(litert: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - it is set back
    """Starts the worker's own program, as for a user."""
    monkeypatch.setattr(child, "WORKER", COLD)


@pytest.fixture(scope="package")
def tflite(litert: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 - it runs it
    """A small network, exported once for all tests of a process."""
    model = ModelRequest(f"{RESEARCH / 'additive_net.py'}:build", size=(32, 32))
    (report,) = export_model(ExportRequest(model, ("litert",), folder=tmp_path_factory.mktemp("tflite")))
    assert report.parity.status == "passed"
    return report.artifact.path
