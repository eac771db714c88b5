"""Whether a file is what its export wrote, by the digests that it holds: asked before anything runs it."""

import time
from pathlib import Path

from mobilevit_deploy.catalog.formats import target_of
from mobilevit_deploy.loading.weights_origin import WeightsOrigin
from mobilevit_deploy.pipeline import provenance
from mobilevit_deploy.pipeline.provenance import Provenance
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.targets.contents import Integrity, compare
from mobilevit_deploy.targets.registry import read_contents
from mobilevit_deploy.verification.leg import ARTIFACT, INT8_UNROUNDED, REPEATED, UNROUNDED, Leg
from mobilevit_deploy.verification.parity import ParityReport
from mobilevit_deploy.verification.report import VerifyReport

OF_THE_FILE = (ARTIFACT, UNROUNDED, INT8_UNROUNDED, REPEATED)  # subjects of the legs that run it


def read_integrity(path: Path) -> tuple[Integrity, Provenance | None]:
    """Returns what the digests say, and what the file says of its export; nothing for a file of others.

    Raises:
        ArtifactError: there is no such file, or it is damaged so that it cannot be read.
    """
    contents = read_contents(path)
    noted = provenance.parse(contents.metadata, path.name) if contents else None
    return (compare(contents), noted) if contents and noted else (Integrity(), None)


def report_change(path: Path, integrity: Integrity, noted: Provenance, start: float) -> VerifyReport:
    """Returns the report of a file that is not what its export wrote, and that nothing ran.

    Args:
        path: of the file.
        integrity: of it.
        noted: what it says of its export.
        start: when the verification began, by ``time.perf_counter``.
    """
    sha256, size = measure_files(path)
    return VerifyReport(
        artifact=path,
        target=target_of(path),
        sha256=sha256,
        bytes=size,
        model=noted.model,
        weights=_weights(noted),
        precision=noted.precision,
        parity=ParityReport("failed", integrity.reason),
        accuracy=None,
        located=False,
        divergence=None,
        warnings=(),
        integrity=integrity,
        seconds=round(time.perf_counter() - start, 3),
    )


def _weights(noted: Provenance) -> WeightsOrigin:
    """Returns where the weights came from, by the name of their file: nobody looked for it."""
    return WeightsOrigin(
        noted.trained,
        path=noted.weights if noted.trained and not noted.pretrained and not noted.vouched else None,
        sha256=noted.weights_sha256,
        key=noted.weights_key,
        library=noted.weights if noted.pretrained else None,
        prefix=noted.weights_prefix,
        ignore=noted.weights_ignore,
        vouched=noted.weights if noted.vouched else None,
    )


def largest_unseen(legs: tuple[Leg, ...]) -> float | None:
    """Returns the largest change of an output, over its largest value, that the legs may let pass."""
    return min((leg.tolerance.max_rel for leg in legs if leg.subject in OF_THE_FILE), default=None)
