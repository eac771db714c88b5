"""Test values of models that take more than one image."""

import numpy as np
import pytest

from mobilevit_deploy.catalog.tensor_input import parse_input
from mobilevit_deploy.images.input_records import by_name, make_records, size_of
from mobilevit_deploy.images.test_images import IMAGENET_MEAN, IMAGENET_STD, make_samples

TEXTS = (
    "mask=1x1x8x12:bool",
    "image=1x3x8x12",
    "second=1x3x8x12",
    "pixels=2x3x8x12:uint8",
    "maps=1x16x4x4:float16",
    "ids=1x77:int64[5,9)",
    "flag=1:int32",
)
INPUTS = tuple(map(parse_input, TEXTS))


def test_a_field_for_each_input() -> None:
    records = make_records(INPUTS, 8, IMAGENET_MEAN, IMAGENET_STD)
    assert records.shape == (8,)
    assert size_of(records) == (8, 12)
    fields = by_name(records[2:3], "unused")
    assert {name: (value.shape, value.dtype.name) for name, value in fields.items()} == {
        item.name: (item.shape, item.type) for item in INPUTS
    }
    np.testing.assert_array_equal(records, make_records(INPUTS, 8, IMAGENET_MEAN, IMAGENET_STD))


def test_values() -> None:
    records = make_records(INPUTS, 8, IMAGENET_MEAN, IMAGENET_STD)
    runs = [by_name(records[i : i + 1], "") for i in range(8)]
    values = {item.name: np.stack([run[item.name] for run in runs]) for item in INPUTS}
    assert 0.4 < values["mask"].mean() < 0.6
    np.testing.assert_array_equal(values["image"][:, 0], make_samples(8, 3, 8, 12, seed=1))
    assert not np.array_equal(values["image"], values["second"])
    assert values["pixels"].min() < 64 < 192 < values["pixels"].max()
    assert set(np.unique(values["ids"])) == {5, 6, 7, 8}
    assert set(np.unique(values["flag"])) == {0, 1}
    maps = values["maps"].astype(np.float64)
    assert abs(maps).max() < 4
    assert 0.5 < maps.std() < 1.5
    assert all(not np.array_equal(maps[0], other) for other in maps[1:])


def test_images_are_fed_as_they_are() -> None:
    images = make_samples(2, 3, 8, 12)
    assert by_name(images, "input") == {"input": images}
    assert size_of(images) == (8, 12)


def test_a_run_takes_one_record() -> None:
    with pytest.raises(ValueError, match="too many values"):
        by_name(make_records(INPUTS, 2, IMAGENET_MEAN, IMAGENET_STD), "")
