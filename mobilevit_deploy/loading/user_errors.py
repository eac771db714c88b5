"""What of an exception in the model's own code is its author's: its text, and the lines that a traceback has of it."""

import re
import traceback
from pathlib import Path

MOST_LINES = 8  # of the author's own, the last ones: where it was raised is at the end
LIBRARY = re.compile(r"[\\/](site|dist)-packages[\\/]|[\\/]lib[\\/]python3\.\d+[\\/]|^<")
INSTALLED = re.compile(r"[\\/](site|dist)-packages[\\/]")
OWN_PACKAGE = str(Path(__file__).parents[1])


def own_frame(file: str) -> bool:
    """Tells whether a file is the model's own code: neither a library's nor ours, but for the catalog's models."""
    return not LIBRARY.search(file) and (not file.startswith(OWN_PACKAGE) or "architectures" in file)


def tell_error(error: BaseException) -> str:
    """Returns an exception as a message has it: its type and its text, and below it the author's own lines."""
    text = str(error) if not isinstance(error, SyntaxError) else error.msg  # which would repeat the place
    return f"{type(error).__name__}: {text}{tell_lines(error)}" if text else type(error).__name__ + tell_lines(error)


def tell_lines(error: BaseException) -> str:
    """Returns the author's own lines that an exception came through, each on a line of its own.

    Those of Python, of installed packages and of mvd are left out; where nothing else is left, the last one of an
    installed package is taken.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if own_frame(frame.filename)]
    own = own or [frame for frame in frames if INSTALLED.search(frame.filename)][-1:]
    lines = [f"line {frame.lineno} of {frame.filename}, in {frame.name}: {frame.line}" for frame in own]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append(f"line {error.lineno} of {error.filename}: {(error.text or '').strip()}")
    return "".join(f"\n     {line.replace(', in <module>', '')}" for line in lines[-MOST_LINES:])
