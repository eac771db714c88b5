"""What a verification of a file on disk found."""

from dataclasses import dataclass, field
from pathlib import Path

from mobilevit_deploy.catalog.recipe import Precision
from mobilevit_deploy.errors import CheckFailedError
from mobilevit_deploy.loading.weights_origin import WeightsOrigin
from mobilevit_deploy.targets.contents import Integrity
from mobilevit_deploy.verification.accuracy.measure import Accuracy
from mobilevit_deploy.verification.divergence import Divergence
from mobilevit_deploy.verification.parity import ParityReport


@dataclass(frozen=True)
class VerifyReport:
    """What was found of one artifact.

    ``integrity`` says whether it is what its export wrote; where it is not, nothing else was compared, but for
    ``located``. ``unseen`` is the largest change of an output, over its largest value, that the legs may not see; None
    where none was run. ``divergence`` is what ``locate`` found: None where nothing diverges, or where it was not asked
    for. ``notes`` are lines for the user that are no warnings.
    """

    artifact: Path
    target: str
    sha256: str
    bytes: int
    model: str
    weights: WeightsOrigin
    precision: Precision
    parity: ParityReport
    accuracy: Accuracy | None
    located: bool
    divergence: Divergence | None
    warnings: tuple[str, ...]
    integrity: Integrity = field(default_factory=Integrity)
    unseen: float | None = None
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0)


class VerifyFailedError(CheckFailedError):
    """An artifact that does not compute what PyTorch computes, or is not what its export wrote; with its report."""

    def __init__(self, report: VerifyReport) -> None:
        if report.integrity.status == "changed":
            hint = "export or copy it again; the same command with --locate also compares what it computes"
        else:
            hint = "the same command with --locate names the first module that differs"
        super().__init__(f"{report.artifact.name}: {report.parity.reason}", None if report.located else hint)
        self.report = report
