"""What the kinds of accuracy have in common: images and what is known of them, run through PyTorch and a file."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from mobilevit_deploy.images.batches import ImageSource, batches
from mobilevit_deploy.runners.base import Array, Runner

Progress = Callable[[str], None]
Found = TypeVar("Found")
AccuracyT = TypeVar("AccuracyT", covariant=True)

CHUNK = 50  # images between two lines of progress


class Evaluation(ABC, Generic[Found, AccuracyT]):
    """Images of a user's, and how what a model makes of them is judged."""

    @abstractmethod
    def run(self, runner: Runner, batch: int, progress: Progress) -> Found:
        """Returns what a runner makes of all images.

        Args:
            runner: of PyTorch or an artifact, with the artifact's outputs.
            batch: that it takes.
            progress: called with a line of text now and then.

        Raises:
            MvdError: what is known of an image cannot be of this model.
        """

    @abstractmethod
    def compare(self, reference: Found, artifact: Found) -> AccuracyT:
        """Returns what of PyTorch's and of an artifact's is right."""


def run_all(
    runner: Runner, images: ImageSource, batch: int, progress: Progress
) -> Iterator[tuple[int, int, Sequence[Array]]]:
    """Yields the outputs for each batch, with the number of its first image, and how many of its images are no filling.

    Args:
        runner: of PyTorch or an artifact.
        images: all of them.
        batch: that the runner takes; the last one is filled up.
        progress: called with a line of text now and then.
    """
    done = 0
    for part, size in batches(images, batch):
        if done // CHUNK != (done - batch) // CHUNK:
            progress(f"{runner.name}: {done} of {len(images)} images")
        yield done, size, runner.run(part)
        done += size
