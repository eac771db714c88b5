"""A small package to damage, and what to damage it with."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.contents import GRAPH, TENSORS
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.coreml.mil.specification import parse_model
from tests.targets.coreml.mil.packages import build, normal, save

MODEL = "Data/com.apple.CoreML/model.mlmodel"


def affine(x: Any) -> Any:
    from coremltools.converters.mil.mil import Builder

    return Builder.mul(x=Builder.tanh(x=Builder.linear(x=x, weight=normal(6, 8))), y=normal(6, seed=1), name="y")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(build(affine, (2, 8), 16), tmp_path_factory.mktemp("original"))


@pytest.fixture
def package(original: Path, tmp_path: Path) -> Path:
    """A package that a test may damage."""
    path = tmp_path / "copied.mlpackage"
    shutil.copytree(original, path)
    return path


def edit_model(package: Path, edit: Callable[[Any], object]) -> None:
    """Changes a package, and takes its digests out, which are there to notice that: as in files of others."""
    model = parse_model((package / MODEL).read_bytes())
    edit(model)
    for key in (GRAPH, TENSORS):
        model.description.metadata.userDefined.pop(key, None)
    (package / MODEL).write_bytes(model.SerializeToString())


def body_of(model: Any) -> Any:
    return next(iter(model.mlProgram.functions["main"].block_specializations.values()))


def refusal(package: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        MilRunner(package).run(normal(2, 8))
    return f"{caught.value.message} | {caught.value.hint}"
