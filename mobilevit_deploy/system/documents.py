"""Documents on disk that ``mvd`` once wrote. They are untrusted: anyone may have written or damaged them.

Every text, list and number has a limit; a key that is not known is passed over, and one that is absent is None or
empty, for documents of other versions are shown too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mobilevit_deploy.errors import printable
from mobilevit_deploy.system.json_text import SCHEMA
from mobilevit_deploy.system.wrong_values import wrong_values

LARGEST_FILE = 4 * 2**20  # bytes; an export's report has 15 to 60 kB
MOST_PROBLEMS = 3  # that are told of one file

Name = Annotated[str, Field(max_length=300)]
Note = Annotated[str, Field(max_length=4000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Milliseconds = Annotated[float, Field(ge=1e-6, le=1e9)]


class Record(BaseModel):
    """Base of what is read from a document."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Document(Record):
    """Base of a whole document: one whose keys may mean something else by now is not read."""

    @model_validator(mode="before")
    @classmethod
    def _has_known_keys(cls, given: Any) -> Any:
        schema = given.get("schema", SCHEMA) if isinstance(given, dict) else SCHEMA
        if schema != SCHEMA:
            raise ValueError(f"its schema is {schema!r:.20}, and this mvd reads {SCHEMA}: install a newer one")
        return given


DocumentT = TypeVar("DocumentT", bound=Document)


class BrokenReportError(ValueError):
    """A document that cannot be read, and why."""


def parse_document(content: bytes, kind: type[DocumentT]) -> DocumentT:
    """Reads one document; raises BrokenReportError for what is no JSON, or lacks what ``kind`` holds."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        problems = wrong_values(error, kind)
        more = f"; and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise BrokenReportError(printable("; ".join(problems[:MOST_PROBLEMS])[:500]) + more) from error


def read_document(path: Path, kind: type[DocumentT], largest: int | None = None) -> DocumentT:
    """Reads one document.

    Args:
        path: of its file.
        kind: what it is.
        largest: bytes of the file; None for what a report of one export may have.

    Raises:
        BrokenReportError: it cannot be read, is too large, is no JSON, or lacks what a document holds.
    """
    limit = largest or LARGEST_FILE
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BrokenReportError(error.strerror or str(error)) from error
    if len(content) > limit:
        raise BrokenReportError(f"larger than {limit // 2**20} MB, which no report is")
    return parse_document(content, kind)
