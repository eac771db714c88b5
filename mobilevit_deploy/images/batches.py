"""Images in batches of the size that an artifact takes."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mobilevit_deploy.images.test_images import Images

Classes = npt.NDArray[np.int64]
NO_CLASS = -1  # of scores that are not finite: argmax would call the first one of them a class


class ImageSource(Protocol):
    """Images that are there, or are read when they are asked for, (N, C, H, W)."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Images: ...


def fill_batches(images: Images, batch: int) -> Images:
    """Returns the images, and the first ones again until whole batches are full, (N, C, H, W)."""
    count = -(-len(images) // batch) * batch
    return images[np.arange(count) % len(images)]


def batches(images: ImageSource, batch: int) -> Iterator[tuple[Images, int]]:
    """Yields the images in batches, (B, C, H, W), the last one filled up, and how many in each are not filling."""
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        filling = np.repeat(part[-1:], batch - len(part), axis=0)
        yield np.concatenate([part, filling]), len(part)
