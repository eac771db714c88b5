"""Files that go away while they are read, such as a checkpoint that training replaces."""

from collections.abc import Iterator
from contextlib import contextmanager

from mobilevit_deploy.errors import MvdError


@contextmanager
def still_there() -> Iterator[None]:
    """Makes a file that was there and is not any more an error that the user can read."""
    try:
        yield
    except FileNotFoundError as error:
        raise MvdError(f"{error.filename} went away while it was read", "run the command again") from error
