"""Every error that a user is meant to read.

::

    MvdError                  exit 1   the user's input or environment
    ├── CatalogError                   no such model, recipe or device; a card that does not parse
    ├── CheckpointError                unreadable, unsafe, or not this model's weights
    ├── ModelCodeError                 the user's ``file.py:function`` failed or returned no module
    ├── CaptureError                   ``torch.export`` cannot trace the model
    ├── ConversionError                a converter refused the graph
    ├── ArtifactError                  a file that cannot be run: damaged, of another format, or with an unknown op
    │   └── RefusedError               by the runtime that it is made for: no export of it is published, exit 3
    ├── OutputError                    the output folder cannot be written
    ├── MeasurementError               a latency run failed or its backend is missing
    ├── UsageError            exit 2   options that contradict each other
    └── CheckFailedError      exit 3   parity failed

Anything else that escapes is a bug of ours: exit 4, with the traceback kept in a file; but for what the operating
system refuses (``environment_fault``), which is exit 1.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass

# Refusals of the operating system that no code can prevent: a full disk, a name that is too long, missing rights.
STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE)
ENVIRONMENT = (
    *STORAGE, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE,
)  # fmt: skip
LONGEST_MESSAGE = 4000  # characters; a hostile file may hold names of a megabyte


class MvdError(Exception):
    """Something the user can mend.

    Args:
        message: what was expected and what was found.
        hint: the next step, often a command to type.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class Obstacle:
    """What stands in the way of measuring on a device, and the next step."""

    message: str
    hint: str


class CatalogError(MvdError):
    """A name that no card has, or a card that does not parse."""


class ChoiceError(CatalogError):
    """A name, size, version or precision that was typed, and that there is none of."""

    exit_code = 2


class CheckpointError(MvdError):
    """A checkpoint that cannot be read safely, or that holds other weights than the model needs."""


class ModelCodeError(MvdError):
    """The user's own model code failed, or did not return an ``nn.Module``."""


class CaptureError(MvdError):
    """``torch.export`` cannot turn the model into a graph."""


class DoesNotRunError(CaptureError):
    """PyTorch itself does not run the model on the input."""


class ConversionError(MvdError):
    """A converter refused the graph."""


class ArtifactError(MvdError):
    """An artifact that cannot be run: damaged, of another format, or using an op that the runner lacks."""


class RefusedError(ArtifactError):
    """An artifact that the runtime it is made for does not load or run."""


class OutputError(MvdError):
    """The output folder cannot be written."""


class MeasurementError(MvdError):
    """A latency measurement that failed, or a backend that this machine lacks."""


class UsageError(MvdError):
    """Options that contradict each other."""

    exit_code = 2


class CheckFailedError(MvdError):
    """A check that ran and failed; nothing was published."""

    exit_code = 3


def environment_fault(error: BaseException) -> OSError | None:
    """Returns the refusal of the operating system that an error is, or that it follows from."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in ENVIRONMENT:
            return cause
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def printable(text: str) -> str:
    """Returns a text that is safe to show on a terminal: no control characters, which could move its cursor."""
    return "".join(character if character.isprintable() else "?" for character in text)


def show(text: str) -> str:
    """Returns a message of one or more lines as a terminal may show it, cut where it is too long."""
    lines = (printable(line) for line in text[:LONGEST_MESSAGE].split("\n"))
    return "\n".join(lines) + ("..." if len(text) > LONGEST_MESSAGE else "")
