"""What is drawn: colours of a mask where its classes are, boxes where they are, everything on one sheet."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mobilevit_deploy.loading.class_names import ClassNames
from mobilevit_deploy.report.drawing import draw_all
from mobilevit_deploy.report.pictures import MASK, contact_sheet, draw
from mobilevit_deploy.verification.accuracy.detection import Detections, Masks
from mobilevit_deploy.verification.prediction.predict import Predicted, PredictReport
from mobilevit_deploy.verification.prediction.reading import Found, Ranking

CLASSES = ClassNames(("road", "sky"), ((200, 0, 0), (0, 0, 200)))
SKY_ABOVE = np.repeat(np.array([1, 0]), [100, 300])[:, None] * np.ones((1, 400), np.int64)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.new("RGB", (400, 400), (100, 100, 100)).save(path)
    return path


def report(*predictions: Predicted, classes: ClassNames = CLASSES) -> PredictReport:
    return PredictReport(Path("m-8x8-fp32.onnx"), "onnx", "onnxruntime", True, classes, predictions, ())


def drawn(image: Path, found: Found, reference: Found | None = None) -> Any:
    item = Predicted(image, found, reference)
    return np.asarray(draw(report(item), item)).astype(int)


def test_a_mask_has_its_classes_colours_where_they_are(image: Path) -> None:
    pixels = drawn(image, SKY_ABOVE)
    for row, color in ((50, (0, 0, 200)), (350, (200, 0, 0))):
        expected = [(1 - MASK) * 100 + MASK * part for part in color]
        assert pixels[row, 200] == pytest.approx(expected, abs=1)  # 8 bits
    assert pixels.shape[0] > 400, "the names are below"


def test_boxes_are_where_they_are_and_poor_ones_are_left_out(image: Path) -> None:
    boxes = np.array([[40.0, 80, 200, 300], [10, 10, 390, 390], [np.nan, 0, 9, 9]])
    pixels = drawn(image, Detections(boxes, np.array([0.9, 0.1, 0.8]), np.array([0.0, 1, 1])))
    for row, column in ((200, 40), (200, 200), (300, 100)):
        assert pixels[row, column].tolist() == [200, 0, 0]
    assert not (pixels[:400] == (0, 0, 200)).all(axis=-1).any()


def test_an_instance_has_its_pixels_in_its_colour(image: Path) -> None:
    boxes = np.array([[40.0, 80, 240, 320], [300, 100, 380, 180]])
    shares = np.zeros((2, 28, 28))
    shares[0, :14], shares[1] = 1.0, 0.4
    masks = Masks(shares, boxes)
    pixels = drawn(image, Detections(boxes, np.array([0.9, 0.8]), np.array([0.0, 1]), masks))
    filled = [(1 - MASK) * 100 + MASK * part for part in (200, 0, 0)]
    for row, column in ((90, 50), (90, 230), (195, 140)):  # the upper half of the box, up to row 200
        assert pixels[row, column] == pytest.approx(filled, abs=1)  # 8 bits
    for row, column in ((205, 140), (300, 140), (140, 340), (70, 140), (90, 30)):
        assert pixels[row, column].tolist() == [100, 100, 100]


def test_pytorch_stands_beside(image: Path) -> None:
    assert drawn(image, SKY_ABOVE, SKY_ABOVE).shape[1] > 2 * 400


def test_a_class_without_a_colour_has_one_of_its_own(image: Path) -> None:
    item = Predicted(image, SKY_ABOVE)
    pixels = np.asarray(draw(report(item, classes=ClassNames()), item))
    assert pixels[50, 200].tolist() != pixels[350, 200].tolist()


def test_files_of_a_run(image: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "a.png"
    other.parent.mkdir()
    Image.new("RGB", (30, 20)).save(other)
    told: list[str] = []
    found = report(Predicted(image, SKY_ABOVE), Predicted(other, np.zeros((20, 30), np.int64)))
    written = draw_all(found, tmp_path / "out", told.append)
    names = ["m-8x8-fp32.onnx.contact-sheet.png", "a.m-8x8-fp32.onnx.png", "a.m-8x8-fp32.onnx-2.png"]
    assert [path.name for path in written.files] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    assert written.by_image == {image: tmp_path / "out" / names[1], other: tmp_path / "out" / names[2]}
    ranking = Ranking((0,), np.array([1.0]))
    assert draw_all(report(Predicted(image, ranking)), tmp_path / "none", told.append).files == ()
    assert not (tmp_path / "none").exists()


def test_a_file_of_another_target_leaves_the_pictures_alone(image: Path, tmp_path: Path) -> None:
    found = report(Predicted(image, SKY_ABOVE))
    of_package = replace(found, artifact=found.artifact.with_suffix(".mlpackage"))
    files = [draw_all(item, tmp_path, lambda _: None).files for item in (found, of_package)]
    assert len({path for of_file in files for path in of_file}) == 2


def test_a_sheet_holds_all(image: Path) -> None:
    items = [Predicted(image, Ranking((0,), np.array([1.0]))) for _ in range(5)]
    sheet = contact_sheet(report(*items))
    assert sheet.width >= 3 * 320  # three in a row
    assert sheet.height >= 2 * 320
