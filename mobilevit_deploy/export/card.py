"""A model card beside each artifact, ``<stem>.<target>.md``, in the form of Hugging Face's.

It is made of the report beside the artifact and of the latencies that are kept there, and says nothing else. The report
is untrusted, as all that lies on disk: each of its texts is escaped, in the YAML header and in the Markdown below it.
Source of the form: https://huggingface.co/docs/hub/model-cards, where ``model-index`` is for measured accuracy.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mobilevit_deploy.catalog.formats import formats
from mobilevit_deploy.errors import printable
from mobilevit_deploy.export.records import ExportRecord, LatencyRecord
from mobilevit_deploy.loading.weights_origin import VOUCHED
from mobilevit_deploy.system.documents import BrokenReportError, read_document

SUFFIX = ".md"
TEMPLATE = "card.md.jinja"
MOST_NAMES = 100  # of classes in the card; all of them are in the report
# Hugging Face's names of tasks and metrics; a task that it has no name for stands in no header.
PIPELINES = {
    "classify": "image-classification",
    "features": "image-feature-extraction",
    "segment": "image-segmentation",
    "detect": "object-detection",
    "instances": "image-segmentation",
}
METRICS = {"top-1": "accuracy", "mIoU": "mean_iou", "AP50:95": "mAP"}
# What would be Markdown or HTML wherever it stands, an address that would become a link, and what would begin a block.
MARKUP = re.compile(r"[\\`*_\[\]<>|~&$]|:(?=//)|^[-+#=]|(?<=^\d)[.)](?=\s|$)|(?<=^\d\d)[.)](?=\s|$)")


class Ready(str):
    """A text that is Markdown already."""

    __slots__ = ()


def card_path(report: Path) -> Path:
    """Returns the name of the card beside a report, ``<stem>.<target>.json``."""
    return report.with_suffix(SUFFIX)


def write_card(report: Path, latencies: Sequence[LatencyRecord] = ()) -> Path | None:
    """Writes the card beside a report, in place of the one that is there; returns its path.

    Args:
        report: on disk.
        latencies: of the same file; those of another one are left out.

    Returns:
        None, and writes nothing, for a report that cannot be read.

    Raises:
        OSError: it cannot be written.
    """
    text = render_card(report, latencies)
    if text is None:
        return None
    path = card_path(report)
    path.write_text(text, encoding="utf-8")
    return path


def render_card(report: Path, latencies: Sequence[LatencyRecord] = ()) -> str | None:
    """Returns the card for a report on disk; None for one that cannot be read. See ``write_card``."""
    try:
        record = read_document(report, ExportRecord)
    except BrokenReportError:
        return None
    own = [latency for latency in latencies if latency.sha256 == record.sha256]
    file = Path(record.path).name
    return (
        _templates()
        .get_template(TEMPLATE)
        .render(
            report=record,
            file=file,
            title=formats()[record.target].title if record.target in formats() else record.target,
            checkpoint=Path(record.weights.path).name if record.weights and record.weights.path else None,
            code=Ready(f"`{record.sha256}`"),
            weights_code=Ready(f"`{record.weights.sha256}`") if record.weights and record.weights.sha256 else None,
            command=Ready(f"mvd snippet {shlex.quote(printable(file))}"),
            header=Ready(_header(record, file)),
            latencies=own,
            most_names=MOST_NAMES,
            vouched=VOUCHED,
        )
    )


def _header(record: ExportRecord, file: str) -> str:
    """Returns the YAML: a line for each key, its value as JSON, which is YAML too."""
    trained = record.weights is not None and record.weights.trained
    entries: dict[str, Any] = {
        "library_name": record.target,
        "pipeline_tag": PIPELINES.get(record.task or ""),
        "tags": ["mvd", record.target, record.precision, *([] if trained else ["untrained"])],
        "model_name": record.model,
        "model-index": _results(record, file),
    }
    lines = (f"{key}: {_yaml(value)}" for key, value in entries.items() if value)
    return "\n".join(["---", *lines, "---"])


def _results(record: ExportRecord, file: str) -> list[Mapping[str, Any]]:
    """Returns the accuracy as the hub takes it: of this file, on the user's own images."""
    measured = record.accuracy
    if measured is None or measured.artifact is None:
        return []
    metric = {
        "type": METRICS.get(measured.metric, measured.metric),
        "name": measured.metric,
        "value": measured.artifact,
    }
    result = {
        "task": {"type": PIPELINES.get(record.task or "", record.task or "")},
        "dataset": {"type": "own", "name": f"{measured.images} images of the exporter's own"},
        "metrics": [metric],
    }
    return [{"name": file, "results": [result]}]


def _yaml(value: object) -> str:
    """Returns a value as JSON; its texts without what no YAML may hold."""
    return json.dumps(_printable(value), ensure_ascii=False, allow_nan=False)


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return {key: _printable(item) for key, item in value.items()} if isinstance(value, dict) else value


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("mobilevit_deploy.export", "."),
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # it is Markdown: _escaped escapes
    )
    environment.filters["figure"] = _figure
    return environment


def _escaped(value: object) -> str:
    """Returns a value as Markdown shows it: texts of reports as they are, and nothing of them as markup."""
    if isinstance(value, Ready):
        return value
    return MARKUP.sub(r"\\\g<0>", printable(str(value)))


def _figure(value: float | None) -> str:
    """Returns a number as it is read: three digits of it; nothing for none."""
    return "" if value is None else f"{value:.3g}"
