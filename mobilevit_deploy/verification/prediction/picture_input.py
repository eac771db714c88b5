"""What an artifact says of the pictures that it takes, for the commands that give it some."""

from collections.abc import Sequence
from pathlib import Path

from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.pipeline import provenance
from mobilevit_deploy.pipeline.origin import with_channels_first
from mobilevit_deploy.pipeline.provenance import Provenance
from mobilevit_deploy.targets.app_options import AppOptions
from mobilevit_deploy.targets.artifact import FileDescription
from mobilevit_deploy.targets.registry import describe_file


def read_artifact(path: Path) -> tuple[FileDescription, Provenance]:
    """Returns what a file says of itself, its entries (B, C, H, W), and what its export noted in it.

    Raises:
        ArtifactError: it is damaged, or mvd did not write it.
    """
    file = describe_file(path)
    noted = provenance.parse(file.metadata, file.path.name)
    if noted is None:
        raise ArtifactError(
            f"{file.path.name} was not written by mvd, and does not say how its images are prepared",
            "give a file that mvd export wrote",
        )
    return with_channels_first(file, noted), noted


def preparation_of(
    file: FileDescription, noted: Provenance, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Preprocessing:
    """Returns how the pictures for an artifact are prepared.

    Args:
        file: the artifact.
        noted: what it says of its export.
        mean: per RGB channel, of values in [0, 1], in place of what the artifact says; with ``std``.
        std: likewise.

    Raises:
        ArtifactError: nobody says it.
        UsageError: mean and std are not such, or one is missing.
    """
    given = AppOptions(mean=tuple(mean) if mean else None, std=tuple(std) if std else None)
    given.check()
    preparation = given.preprocessing(noted.preprocessing) or noted.image_preparation()
    if preparation is None:
        raise ArtifactError(
            f"{file.path.name} does not say how its images are normalised, for its model has no card that says it",
            "add --mean and --std as in training, such as --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
        )
    return preparation
