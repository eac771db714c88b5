"""Images of the user's own: prepared as the card says, and never trusted."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images import pictures, user_images
from mobilevit_deploy.images.preparation import resize
from mobilevit_deploy.images.user_images import read_images

CARD = catalog.model("cas_vit_xs").family.preprocessing
SIZE = (3, 32, 32)


def save(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (40, 60), **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **settings)
    return path


def test_class_folders_in_the_order_of_their_names(tmp_path: Path) -> None:
    save(tmp_path / "dog" / "a.png", (255, 0, 0))
    save(tmp_path / "cat" / "b.png", (0, 255, 0))
    save(tmp_path / "cat" / "a.PNG", (0, 0, 255))
    found = read_images(tmp_path, SIZE, CARD)
    assert found.classes == ("cat", "dog")
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, 1]
    assert found.images.shape == (3, 3, 32, 32)
    assert found.images.dtype == np.float32
    colors = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    expected = (colors - np.array(CARD.mean)) / np.array(CARD.std)
    np.testing.assert_allclose(found.images[:, :, 16, 16], expected, rtol=1e-6)
    few = read_images(tmp_path, SIZE, CARD, limit=2)
    assert few.labels is not None
    assert few.labels.tolist() == [0, 1]


def test_short_side_is_resized_and_the_centre_cropped() -> None:
    pixels = np.zeros((112, 256, 3), np.uint8)
    pixels[:, 128:] = 255
    cropped = np.asarray(resize(Image.fromarray(pixels), (98, 98), CARD))
    assert cropped.shape == (98, 98, 3)
    # 112 * 256 / 224 is the short side of the crop's picture: nothing is resized, 79 columns go on the left
    np.testing.assert_array_equal(cropped, pixels[7:105, 79:177])
    warped = np.asarray(resize(Image.fromarray(pixels), (384, 384), CARD))
    assert warped[:, 0].max() == 0
    assert warped[:, -1].min() == 255


def test_a_card_says_what_is_kept_and_in_which_order(tmp_path: Path) -> None:
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 64:] = 255
    half = CARD.model_copy(update={"crop": 0.5, "interpolation": "nearest"})
    # Of 64 rows half are kept, so at 32 px nothing is resized, and of 128 columns the middle 32 remain.
    np.testing.assert_array_equal(resize(Image.fromarray(pixels), (32, 32), half), pixels[16:48, 48:80])
    whole = np.asarray(resize(Image.fromarray(pixels), (32, 32), half.model_copy(update={"crop": 1.0})))
    np.testing.assert_array_equal(whole, pixels[::2, 32:96:2])
    warped = half.model_copy(update={"crop": 1.0, "warp": True})
    squeezed = np.asarray(resize(Image.fromarray(pixels), (32, 32), warped))
    np.testing.assert_array_equal(squeezed[0, :, 0], [0] * 16 + [255] * 16)
    large = half.model_copy(update={"crop": 1.0})  # above 384 px, where a family warps, it is still not warped
    assert np.asarray(resize(Image.fromarray(pixels), (400, 400), large))[0, 0, 0] == 0
    save(tmp_path / "a.png", (255, 0, 51))
    bgr = CARD.model_copy(update={"color": "BGR", "crop": 1.0})
    found = read_images(tmp_path, SIZE, bgr).images[0, :, 16, 16]
    expected = ((np.array([1, 0, 0.2]) - np.array(CARD.mean)) / np.array(CARD.std))[::-1]  # mean and std are of RGB
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    gray = read_images(tmp_path, (1, 32, 32), bgr).images
    assert gray.shape == (1, 1, 32, 32)


def test_orientation_of_a_phones_picture(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = 255  # the upper half as stored
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    image = read_images(tmp_path, SIZE, CARD).images[0]
    assert image[:, 2].max() < image[:, -2].min()


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(MvdError, match=r"bad\.png is no image"):
        read_images(tmp_path, SIZE, CARD)


def test_other_refusals_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MvdError, match="has no images"):
        read_images(tmp_path, SIZE, CARD)
    path = save(tmp_path / "whole.jpg", (1, 2, 3), (400, 400))
    with pytest.raises(MvdError, match="no card that says it"):
        read_images(tmp_path, SIZE, None)
    (tmp_path / "half.jpg").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MvdError, match=r"half\.jpg is damaged"):
        read_images(tmp_path, SIZE, CARD)
    (tmp_path / "half.jpg").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "LARGEST_IMAGE", 100)
        with pytest.raises(MvdError, match="400x400 pixels"):
            read_images(tmp_path, SIZE, CARD)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(MvdError, match=r"notes\.txt is no image"):
        read_images(tmp_path, SIZE, CARD)
    (tmp_path / "cat").mkdir()
    with pytest.raises(MvdError, match="images beside them"):
        read_images(tmp_path, SIZE, CARD)
    with pytest.raises(MvdError, match="no folder of images and no array file"):
        read_images(tmp_path / "missing", SIZE, CARD)


def test_arrays(tmp_path: Path) -> None:
    pixels = np.arange(2 * 32 * 32 * 3, dtype=np.uint32).reshape(2, 32, 32, 3).astype(np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.array([3, 0], np.uint8))
    found = read_images(tmp_path / "a.npz", SIZE, CARD)
    expected = ((pixels / 255 - np.array(CARD.mean)) / np.array(CARD.std)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found.images, expected, rtol=1e-5, atol=1e-6)
    assert found.labels is not None
    assert found.labels.tolist() == [3, 0]
    np.save(tmp_path / "b.npy", found.images)
    again = read_images(tmp_path / "b.npy", SIZE, None)  # normalised already: no card is needed
    np.testing.assert_array_equal(again.images, found.images)
    assert again.labels is None
    assert len(read_images(tmp_path / "a.npz", SIZE, CARD, limit=1).images) == 1


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros(3)}, "has no array called images"),
        ({"images": np.zeros((2, 3, 16, 16), np.float32)}, r"float32 of shape \(2, 3, 16, 16\)"),
        ({"images": np.zeros((2, 3, 32, 32), np.uint8)}, "are uint8"),
        ({"images": np.zeros((0, 3, 32, 32), np.float32)}, "has no images"),
        ({"images": np.full((1, 3, 32, 32), np.nan, np.float32)}, "NaN"),
        ({"images": np.zeros((2, 3, 32, 32), np.float32), "labels": np.zeros(3, int)}, "labels of .* of shape"),
        ({"images": np.zeros((1, 3, 32, 32), np.float32), "labels": np.array([-1])}, "labels of"),
        ({"images": np.array([{}], dtype=object)}, "no array file"),
    ],
)
def test_refusals_of_arrays(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(MvdError, match=message):
        read_images(tmp_path / "a.npz", SIZE, CARD)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(MvdError, match="no array file that can be read"):
        read_images(Path(name), SIZE, CARD)
    assert not Path("executed").exists()


def test_an_archive_that_claims_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_images, "LARGEST_ARRAY", 1000)
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((1, 3, 32, 32), np.float32))
    with pytest.raises(MvdError, match="holds"):
        read_images(tmp_path / "a.npz", SIZE, CARD)
