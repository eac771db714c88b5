"""One picture of a user's, opened as untrusted input: by its content, of few formats, no larger than a photograph."""

import warnings
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from mobilevit_deploy.errors import MvdError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
# Of the content, whatever the name: Pillow knows formats that run other programs, such as PostScript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
LARGEST_IMAGE = 100_000_000  # pixels; more is a decompression bomb, or nothing that a phone took
SIDEWAYS = range(5, 9)  # EXIF's orientations that exchange width and height

ADVICE = "leave it out"


@contextmanager
def open_picture(file: Path, suffixes: Collection[str] = SUFFIXES, advice: str = ADVICE) -> Iterator[Image.Image]:
    """Opens a picture; its pixels are decoded inside, where the same errors are told.

    Args:
        file: of any name and content.
        suffixes: that its name may end in.
        advice: the next step, where it is none.

    Raises:
        MvdError: it is no picture, damaged, or larger than ``LARGEST_IMAGE``.
    """
    if file.suffix.lower() not in suffixes:
        raise MvdError(f"{file} is no image", f"{advice}; images end in {', '.join(sorted(suffixes))}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images, and of odd metadata
            with Image.open(file, formats=FORMATS) as opened:
                if opened.width * opened.height > LARGEST_IMAGE:
                    raise MvdError(f"{file} has {opened.width}x{opened.height} pixels", "give a smaller copy of it")
                yield opened
    except FileNotFoundError as error:
        raise MvdError(f"there is no picture {file}", advice) from error
    except UnidentifiedImageError as error:
        raise MvdError(f"{file} is no image that can be read", advice) from error
    # Pillow's decoders raise all of these for damaged files.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, Image.DecompressionBombError) as error:
        raise MvdError(f"{file} is damaged: {error}", advice) from error


def readable(files: Iterable[Path], left_out: list[str]) -> list[Path]:
    """Returns the pictures that can be read, and adds a line for each other one.

    Args:
        files: as they lie in a folder.
        left_out: what is said of the others.
    """
    found = []
    for file in files:
        try:
            with open_picture(file) as opened:
                opened.load()
            found.append(file)
        except MvdError as error:
            left_out.append(f"left out: {error.message}")
    return found


def picture_size(file: Path) -> tuple[int, int]:
    """Returns (height, width) in pixels of a picture that is held as it was taken; raises MvdError, see above."""
    with open_picture(file) as picture:
        turned = picture.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
        return (picture.width, picture.height) if turned else (picture.height, picture.width)
