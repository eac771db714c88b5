"""What lies in a folder: artifacts by their reports, measurements by the artifact that they are of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mobilevit_deploy.catalog.catalog import models, recipes
from mobilevit_deploy.catalog.formats import formats
from mobilevit_deploy.catalog.model_card import PublishedAccuracy
from mobilevit_deploy.errors import ArtifactError, printable
from mobilevit_deploy.export.records import ExportRecord, LatencyFile, LatencyRecord
from mobilevit_deploy.report.stored import SUFFIX
from mobilevit_deploy.system.documents import BrokenReportError, read_document
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.targets.artifact import report_name

State = Literal["present", "changed", "missing"]


@dataclass(frozen=True)
class Published:
    """The authors' top-1 accuracy in percent, of their own checkpoint; None with the reason why there is none."""

    top1_percent: float | None
    reason: str | None = None


@dataclass(frozen=True)
class Artifact:
    """One artifact of the folder.

    Attributes:
        name: of the file.
        record: its report.
        state: whether the file is the one that the report is of.
        latencies: of this very file.
        stale: latencies of a file that had this name before.
        published: accuracy of the architecture.
    """

    name: str
    record: ExportRecord
    state: State
    latencies: Sequence[LatencyRecord]
    stale: Sequence[LatencyRecord]
    published: Published

    @property
    def trained(self) -> bool | None:
        """Tells whether the weights are from a checkpoint; None where the report does not."""
        return self.record.weights.trained if self.record.weights else None


@dataclass(frozen=True)
class Problem:
    """A file that is not on the page as it should be, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Folder:
    """Everything that the page shows."""

    path: Path
    artifacts: Sequence[Artifact]
    problems: Sequence[Problem]


def read_folder(path: Path) -> Folder:
    """Reads all reports and measurements of a folder, not of folders in it.

    Raises:
        ArtifactError: there is no such folder, or no report in it.
    """
    if path.is_file() or path.suffix in {known.suffix for known in formats().values()}:
        raise ArtifactError(f"{path} is a file, and mvd report reads a folder", f"give {path.parent}")
    if not path.is_dir():
        raise ArtifactError(f"there is no folder {path}", "mvd export makes one, with artifacts and their reports")
    problems: list[Problem] = []
    exports = list(_read_exports(path, problems))
    latencies = list(_read_latencies(path, problems))
    artifacts = [_artifact(path, name, record, latencies) for name, record in exports]
    if not artifacts and not problems:
        step = "mvd export MODEL --to onnx writes an artifact with its report, and mvd latency adds measurements"
        if (path / "sweep.json").is_file():
            step = f"it is of a sweep: mvd report --matrix {path}"
        raise ArtifactError(f"there is no report in {path}", step)
    problems += _unmatched(path, artifacts, latencies)
    return Folder(path, artifacts, problems)


def _read_exports(folder: Path, problems: list[Problem]) -> Iterator[tuple[str, ExportRecord]]:
    """Yields the name and the report of every artifact; a report must stand where an export puts it."""
    targets = sorted({recipe.target for recipe in recipes().values()})
    for path in sorted(path for target in targets for path in folder.glob(f"*.{target}.json") if path.is_file()):
        try:
            record = read_document(path, ExportRecord)
        except BrokenReportError as error:
            problems.append(Problem(printable(path.name), f"not a report that can be read: {error}"))
            continue
        name = Path(record.path).name
        if "\0" in name or report_name(Path(name), record.target) != path.name:
            problems.append(Problem(printable(path.name), f"the report of another file: {printable(name)}"))
        else:
            yield name, record


def _read_latencies(folder: Path, problems: list[Problem]) -> Iterator[LatencyRecord]:
    for path in sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file()):
        try:
            yield from read_document(path, LatencyFile).results
        except BrokenReportError as error:
            problems.append(Problem(printable(path.name), f"no latency that can be read: {error}"))


def _artifact(folder: Path, name: str, record: ExportRecord, latencies: Sequence[LatencyRecord]) -> Artifact:
    fresh = [latency for latency in latencies if latency.sha256 == record.sha256]
    stale = [item for item in latencies if item.sha256 != record.sha256 and Path(item.artifact).name == name]
    return Artifact(name, record, _state(folder / name, record.sha256), fresh, stale, published_accuracy(record))


def _state(path: Path, sha256: str) -> State:
    try:
        if not path.exists():
            return "missing"
        return "present" if measure_files(path)[0] == sha256 else "changed"
    except OSError:
        return "missing"  # it is there and may not be read


def published_accuracy(record: ExportRecord) -> Published:
    """Returns what the authors published for this architecture at this input size, or why nothing is comparable."""
    card = models().get(record.model)
    if card is None:
        return Published(None, "a model of your own")
    if card.family.reconstruction:
        return Published(None, "a reconstruction: no published accuracy")
    if record.task != "classify":
        return Published(None, "not a classifier")
    classes = card.family.num_classes
    if not any(output.shape and output.shape[-1] == classes for output in record.outputs):
        return Published(None, f"published for {classes} classes only")
    size = tuple(record.input.shape[-2:])
    found: list[PublishedAccuracy] = [
        item for item in card.variant.published if size == (item.input_size, item.input_size)
    ]
    if found:
        return Published(found[0].top1_percent)
    known = ", ".join(str(item.input_size) for item in card.variant.published)
    return Published(None, f"published at {known} px only" if known else "none published")


def _unmatched(folder: Path, artifacts: Sequence[Artifact], latencies: Sequence[LatencyRecord]) -> Iterator[Problem]:
    """Yields artifacts without a report, and measurements of what is not in the folder."""
    names = {artifact.name for artifact in artifacts}
    for path in sorted(path for known in formats().values() for path in folder.glob(f"*{known.suffix}")):
        if path.name not in names:
            yield Problem(printable(path.name), "an artifact without a report that can be read")
    shown = {id(latency) for artifact in artifacts for latency in (*artifact.latencies, *artifact.stale)}
    for latency in latencies:
        if id(latency) not in shown:
            yield Problem(printable(Path(latency.artifact).name), "measured, and there is no report of it here")
