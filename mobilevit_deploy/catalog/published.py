"""What others have published of a model, to stand beside what is measured here."""

from collections.abc import Sequence

from mobilevit_deploy.catalog.cards import PublishedLatency
from mobilevit_deploy.catalog.catalog import models


def published_latencies(artifact: str, input_shape: Sequence[int]) -> tuple[PublishedLatency, ...]:
    """Returns what was published of the model that an artifact's file name begins with, at its input's size and batch.

    Args:
        artifact: a file's name.
        input_shape: of its input, (N, C, H, W).
    """
    card = models().get(artifact.partition("-")[0])
    if card is None or len(input_shape) != 4:
        return ()
    batch, _, height, width = input_shape
    return tuple(
        item for item in card.variant.published_latency if item.batch == batch and item.input_size == height == width
    )
