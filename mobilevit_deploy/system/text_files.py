"""Reading small files that a user names, and that may be anything."""

from pathlib import Path

from mobilevit_deploy.errors import MvdError


def read_limited(path: Path, largest: int, hint: str) -> bytes:
    """Returns what is in a file of at most so many bytes.

    Raises:
        MvdError: it cannot be read, is larger, or is none: a pipe would be waited for, a device may have no end.
    """
    try:
        if path.exists() and not path.is_file():
            raise MvdError(f"cannot read {path}: it is no file", hint)
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise MvdError(f"cannot read {path}: {error.strerror}", hint) from error
    if len(content) > largest:
        raise MvdError(f"{path} is larger than {largest >> 20} MB", hint)
    return content
