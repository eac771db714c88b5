"""A user's own images on several artifacts."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images.batches import Classes
from mobilevit_deploy.images.test_images import IMAGENET_MEAN, IMAGENET_STD, make_samples
from mobilevit_deploy.measurement.comparison.accuracy import Counted, OwnImages, count_classes
from mobilevit_deploy.measurement.comparison.subject import open_subject
from tests.measurement.comparison.models import save_classifier

IMAGES = make_samples(8, 3, 32, 32)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_classifier(tmp_path / "base.onnx", (1, 3, 32, 32))


def own(path: Path, limit: int | None = None) -> OwnImages:
    return OwnImages(path, limit, IMAGENET_MEAN, IMAGENET_STD)


def classes_of(path: Path, images: Path) -> Classes:
    subject = open_subject(path, None)
    scores = [subject.open().run(image[None])[0][0] for image in np.load(images)["images"]]
    found: Classes = np.argmax(scores, axis=1)
    return found


def test_right_classes_are_counted(base: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", images=IMAGES)
    labels = classes_of(base, tmp_path / "images.npz")
    labels[0] = 1 - min(labels[0], 1)  # one label that the base does not give
    np.savez(tmp_path / "images.npz", images=IMAGES, labels=labels)
    subjects = [open_subject(base, None)] * 2
    assert count_classes(subjects, own(tmp_path / "images.npz"), lambda _: None) == 2 * [Counted(8, 7, 8)]
    assert count_classes(subjects[:1], own(tmp_path / "images.npz", 4), lambda _: None)[0].images == 4


def test_without_labels_the_base_is_the_measure(base: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    (found,) = count_classes([open_subject(base, None)], own(tmp_path / "images.npy"), lambda _: None)
    assert found == Counted(8, None, 8)


def test_a_label_that_no_class_has(base: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", images=IMAGES, labels=np.full(8, 10_000))
    with pytest.raises(MvdError, match="an image has the label 10000"):
        count_classes([open_subject(base, None)], own(tmp_path / "images.npz"), lambda _: None)


@pytest.mark.usefixtures("given_times")
def test_the_command(mvd: Callable[..., Result], base: Path) -> None:
    np.savez("images.npz", images=IMAGES, labels=np.zeros(8, np.int64))
    images = ("--images", "images.npz", "--threads", 1, "--seconds", 0.1)
    result = mvd("compare", base, base, *images, "--json")
    assert result.exit_code == 0, result.stderr
    first, second = json.loads(result.stdout)["results"]
    assert first["accuracy"]["agreeing"] == first["accuracy"]["images"] == 8
    assert set(second["accuracy"]) == {"images", "correct", "agreeing", "reason"}
    table = mvd("compare", base, base, *images).stdout
    assert "correct" in table
    assert "8 of 8" in table
