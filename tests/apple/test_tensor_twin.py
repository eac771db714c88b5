"""The twin of a package with an image or labels computes what the package computes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from mobilevit_deploy.apple.tensor_twin import tensor_twin
from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.latency.coreml_benchmark import described_inputs, random_arrays
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.coreml.mil.package import Package
from tests.apple.conftest import body
from tests.targets.coreml.detectors import passing_pipeline, rows
from tests.targets.coreml.mil.conftest import edit_model
from tests.targets.coreml.mil.packages import Of, build, convert, coremltools, save


def test_a_package_of_arrays_is_its_own_twin(package: Path, tmp_path: Path) -> None:
    twin = tensor_twin(package, tmp_path)
    assert twin.path == package
    assert twin.changes == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("layout", "channels"), [("RGB", 3), ("BGR", 3), ("GRAYSCALE", 1)])
def test_an_image_becomes_an_array_of_its_pixels(tmp_path: Path, layout: str, channels: int) -> None:
    import torch

    image = coremltools.ImageType("x", shape=(1, channels, 6, 8), color_layout=getattr(coremltools.colorlayout, layout))
    module = Of(lambda x: (x / 255 - 0.5).mean(dim=3))
    path = save(convert(module, torch.rand(1, channels, 6, 8), inputs=[image], precision="fp16"), tmp_path)
    before = Package(path).model.SerializeToString()
    twin = tensor_twin(path, tmp_path)
    assert twin.changes == (f"the image x is given as an array of shape 1x{channels}x6x8",)
    (feature,) = MilRunner(twin.path).inputs
    assert (feature.kind, feature.shape) == ("array", (1, channels, 6, 8))
    pixels = np.random.default_rng(0).integers(0, 256, feature.shape).astype(np.float32)
    (expected,), (found,) = MilRunner(path).run(pixels), MilRunner(twin.path).run(pixels)
    assert np.array_equal(found, expected)
    assert Package(path).model.SerializeToString() == before
    assert tensor_twin(path, tmp_path) == twin  # a second twin takes the first one's place
    assert random_arrays(described_inputs(twin))["x"].dtype == np.float32


def test_a_classifier_returns_its_probabilities_as_an_array(tmp_path: Path) -> None:
    def classifier(x: object) -> object:
        from coremltools.converters.mil.mil import Builder

        return Builder.softmax(x=body(x), axis=-1, name="probabilities")

    labels = coremltools.ClassifierConfig(["cat", "dog"])
    path = save(build(classifier, (1, 3, 8, 8), 16, "fp16", classifier_config=labels), tmp_path)
    kinds = {feature.kind for feature in MilRunner(path).outputs}
    assert kinds == {"probabilities"}
    twin = tensor_twin(path, tmp_path)
    assert twin.changes == ("the probabilities are returned as an array, without labels",)
    model = Package(twin.path).model
    assert [item.type.WhichOneof("Type") for item in model.description.output] == ["multiArrayType"]
    assert not model.description.predictedFeatureName
    assert "classify" not in {
        operation.type
        for block in model.mlProgram.functions["main"].block_specializations.values()
        for operation in block.operations
    }
    x = np.random.default_rng(0).random((1, 3, 8, 8)).astype(np.float32)
    (expected,), (found,) = MilRunner(path).run(x), MilRunner(twin.path).run(x)
    assert np.array_equal(found.reshape(-1), expected.reshape(-1))


def test_coremltools_takes_the_twin(tmp_path: Path) -> None:
    import torch

    image = coremltools.ImageType("x", shape=(1, 3, 6, 8))
    path = save(convert(Of(torch.relu), torch.rand(1, 3, 6, 8), inputs=[image], precision="fp16"), tmp_path)
    twin = tensor_twin(path, tmp_path)
    model = coremltools.models.MLModel(str(twin.path), skip_model_load=True)
    assert model.get_spec().description.input[0].type.multiArrayType.dataType == 65568


def test_an_image_of_any_size_has_no_figure(package: Path, tmp_path: Path) -> None:
    path = tmp_path / "free.mlpackage"
    shutil.copytree(package, path)

    def free(model: object) -> None:
        image = model.description.input[0].type.imageType  # type: ignore[attr-defined]
        image.colorSpace = 20
        image.imageSizeRange.widthRange.lowerBound = 8
        image.imageSizeRange.heightRange.lowerBound = 8

    edit_model(path, free)
    with pytest.raises(MeasurementError, match="any size within bounds"):
        tensor_twin(path, tmp_path)


def test_of_a_detector_the_network_is_measured(tmp_path: Path) -> None:
    path = passing_pipeline(tmp_path)
    twin = tensor_twin(path, tmp_path)
    assert twin.changes == ("the non-maximum suppression after the network is left out",)
    assert Package(twin.path).suppression is None
    given = rows(np.ones((6, 4)), np.ones((6, 2)))
    assert [len(found) for found in MilRunner(twin.path).run(given)] == [6, 6]
    ((feature, _),) = described_inputs(twin)
    assert feature.name == "x"
