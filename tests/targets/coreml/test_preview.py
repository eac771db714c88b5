"""The metadata of a segmenter's preview: what is written is read, and what is malformed is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mobilevit_deploy.catalog.decision import LabelMap
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.app_interface import append_decision
from mobilevit_deploy.graph.capture import TensorSpec, capture, recapture
from mobilevit_deploy.loading.class_names import ClassNames
from mobilevit_deploy.targets.app_options import AppInterface
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.coreml.convert import convert, describe
from mobilevit_deploy.targets.coreml.mil.package import Package
from mobilevit_deploy.targets.coreml.preview import (
    LONGEST_TEXT,
    PARAMETERS_KEY,
    TYPE_KEY,
    Color,
    SegmenterPreview,
    read_preview,
    write_preview,
)
from tests.targets.coreml.mil.conftest import edit_model
from tests.targets.coreml.mil.packages import build, save

byte = st.integers(0, 255)
classes = st.lists(st.tuples(st.text(max_size=20), st.tuples(byte, byte, byte)), max_size=8)


def test_as_xcode_reads_it() -> None:
    written = write_preview(["wall", "sky"], [(120, 120, 120), (6, 230, 255)])
    assert written == {
        "com.apple.coreml.model.preview.type": "imageSegmenter",
        "com.apple.coreml.model.preview.params": '{"labels": ["wall", "sky"], "colors": ["#787878", "#06E6FF"]}',
    }


@settings(deadline=None, max_examples=30)
@given(classes=classes, named=st.booleans(), colored=st.booleans())
def test_what_is_written_is_read(classes: list[tuple[str, Color]], named: bool, colored: bool) -> None:
    labels = tuple(label for label, _ in classes) if named else ()
    colors = tuple(color for _, color in classes) if colored else ()
    assert read_preview(write_preview(labels, colors), "a.mlpackage") == SegmenterPreview(labels, colors)


def test_colors_with_and_without_a_sign_in_any_case() -> None:
    text = json.dumps({"labels": ["a", "b"], "colors": ["06e6FF", "#06E6ff"]})
    found = read_preview({TYPE_KEY: "imageSegmenter", PARAMETERS_KEY: text}, "a.mlpackage")
    assert found == SegmenterPreview(("a", "b"), ((6, 230, 255), (6, 230, 255)))


def test_other_kinds_of_models_have_none() -> None:
    assert read_preview({}, "a.mlpackage") is None
    assert read_preview({TYPE_KEY: "poseEstimation", PARAMETERS_KEY: "["}, "a.mlpackage") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[" * 100_000, "recursion|Expecting|nested"),
        ("[]", "no object"),
        ('{"labels": "wall"}', "labels is no list of texts"),
        ('{"labels": [1]}', "labels is no list of texts"),
        ('{"colors": {"a": "b"}}', "colors is no list of texts"),
        ('{"colors": ["red"]}', "'red' is no colour"),
        ('{"colors": ["#12345678"]}', "'#12345678' is no colour"),
        ('{"colors": ["#+12345"]}', "is no colour"),
        ('{"labels": ["a", "b"], "colors": ["#000000"]}', "2 labels and 1 colours"),
        ('{"labels": ["' + "a" * LONGEST_TEXT + '"]}', "4,194,320 characters"),
    ],
)
def test_malformed(text: str, reason: str) -> None:
    with pytest.raises(ArtifactError, match=reason) as caught:
        read_preview({TYPE_KEY: "imageSegmenter", PARAMETERS_KEY: text}, "a.mlpackage")
    assert caught.value.message.startswith("a.mlpackage names the classes of its label map")
    assert len(caught.value.message) < 200


def test_a_package_says_its_classes(tmp_path: Path) -> None:
    """A tiny segmenter as coremltools writes it, with the metadata that Xcode reads."""
    path = save(build(label_map, (1, 3, 4, 4), 16), tmp_path)
    edit_model(path, lambda model: model.description.metadata.userDefined.update(write_preview(["wall", "sky"], [])))
    assert describe(path).labels == ("wall", "sky")
    edit_model(path, lambda model: model.description.metadata.userDefined.update({PARAMETERS_KEY: "{"}))
    with pytest.raises(ArtifactError, match="in a form that Xcode does not read"):
        describe(path)


def test_the_converter_writes_it_for_a_label_map(tmp_path: Path) -> None:
    """And the map as integers, for what comes out is no number to compute with."""
    x = torch.zeros(1, 3, 4, 4)
    captured = capture(nn.Conv2d(3, 2, 1).eval(), x, "segment")
    graph, shapes = append_decision(captured.graph, LabelMap(), 4, 4)
    (output,) = (TensorSpec(*item) for item in shapes.items())
    app = AppInterface(classes=ClassNames(("wall", "sky"), ((120, 120, 120), (6, 230, 255))), decision=LabelMap())
    path = tmp_path / "net.mlpackage"
    convert(ConversionRequest(recapture(graph, x), x, captured.input, (output,), "fp16", 16, {}, path, app))
    (labels,) = Package(path).model.description.output
    assert (labels.name, list(labels.type.multiArrayType.shape)) == ("labels", [1, 4, 4])
    assert labels.type.multiArrayType.dataType == 131104, "INT32"
    preview = read_preview(describe(path).metadata, path.name)
    assert preview == SegmenterPreview(app.classes.names, app.classes.colors)


def label_map(x: Any) -> Any:
    from coremltools.converters.mil.mil import Builder

    return Builder.reduce_argmax(x=x, axis=1, keep_dims=False, name="labels")
