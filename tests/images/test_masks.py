"""Label maps of a user's: found by name, read as numbers whatever their colours, and never trusted."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images.masks import MaskedImages, read_masked
from tests.support.annotated import Pixels, pictures, write_masks, write_pictures

CARD = catalog.heads()["segment"].preprocessing
SIZE = (3, 32, 64)
CLASSES = ("sky", "road", "cat")
MASK = np.array([[0, 1, 2, 255]], np.uint8).repeat(2, axis=0)  # (2, 4)


def read(path: Path, *, limit: int | None = None, reduce_zero_label: bool = False) -> MaskedImages:
    return read_masked(path / "images", path / "masks", SIZE, CARD, CLASSES, limit, reduce_zero_label=reduce_zero_label)


def write(path: Path, masks: list[Pixels], height: int = 2, width: int = 4) -> Path:
    write_pictures(path / "images", pictures(len(masks), height, width))
    write_masks(path / "masks", masks)
    return path


def test_grey_palette_and_wide_pngs(tmp_path: Path) -> None:
    write(tmp_path, [MASK] * 3)
    Image.fromarray(MASK.astype(np.uint16)).save(tmp_path / "masks" / "2.png")
    found = read(tmp_path)
    for number, mode in enumerate(("L", "P", "I;16")):
        with Image.open(found.masks[number]) as mask:
            assert mask.mode == mode
        np.testing.assert_array_equal(found.mask(number), MASK)


def test_zero_is_no_class_in_ade20k(tmp_path: Path) -> None:
    write(tmp_path, [np.array([[0, 1, 3, 255]], np.uint8).repeat(2, axis=0)])
    with pytest.raises(MvdError, match=r"0\.png has the class 3, the model 3 classes"):
        read(tmp_path)
    assert read(tmp_path, reduce_zero_label=True).mask(0)[0].tolist() == [255, 0, 2, 255]


def test_images_are_found_by_name_in_folders_too(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_pictures(tmp_path / "images" / folder, pictures(2, 2, 4))
        write_masks(tmp_path / "masks" / folder, [MASK] * 3)  # one more than images
    (tmp_path / "images" / ".hidden.png").write_bytes(b"")
    (tmp_path / "images" / "a" / "1.png").rename(tmp_path / "images" / "a" / "1.PNG")
    found = read(tmp_path)
    names = [path.relative_to(tmp_path / "masks").as_posix() for path in found.masks]
    assert names == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    assert len(read(tmp_path, limit=2).images) == 2
    images = found.images[1:3]
    assert images.shape == (2, *SIZE)
    assert (images[:, :, 32:] == 0).all()  # 2 x 4 pixels become 32 x 64: nothing is left for padding
    assert found.images.fits[0].resized == (32, 64)


def test_a_tall_image_is_padded_on_the_right_with_the_mean(tmp_path: Path) -> None:
    write(tmp_path, [np.zeros((40, 30), np.uint8)], 40, 30)
    found = read(tmp_path)
    assert found.images.fits[0].resized == (32, 24)
    assert (found.images[0:1][..., 24:] == 0).all()
    assert (found.images[0:1][..., :24] != 0).mean() > 0.9


def test_what_is_refused(tmp_path: Path) -> None:
    def refused(message: str, reduce_zero_label: bool = False) -> None:
        with pytest.raises(MvdError, match=message):
            read(tmp_path, reduce_zero_label=reduce_zero_label)

    refused("images is no folder")
    (tmp_path / "images").mkdir()
    refused("masks is no folder")
    (tmp_path / "masks").mkdir()
    refused("has no images")
    write(tmp_path, [MASK, MASK, MASK])
    (tmp_path / "masks" / "1.png").unlink()
    refused(r"1 of 3 images have no label map; .*1\.png is missing")
    write(tmp_path, [MASK, MASK[:, :3], MASK])
    refused(r"1\.png has 3x2 pixels, its image 4x2")
    write(tmp_path, [MASK, MASK, MASK + 3])
    refused(r"2\.png has the class 5, the model 3 classes")
    Image.new("RGB", (4, 2)).save(tmp_path / "masks" / "2.png")
    refused(r"2\.png is a picture of colours \(RGB\)")
    (tmp_path / "masks" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    refused(r"2\.png is no image that can be read")
    (tmp_path / "masks" / "2.png").unlink()
    (tmp_path / "masks" / "2.png").mkdir()
    refused(r"2\.png is missing")
