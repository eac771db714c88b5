"""Showing a picture file between the lines of a terminal that can: kitty's protocol, and iTerm2's.

Sources: https://sw.kovidgoyal.net/kitty/graphics-protocol/ (transmit and display, PNG, direct, in chunks) and
https://iterm2.com/documentation-images.html (OSC 1337).
"""

import base64
import os
import sys
from collections.abc import Iterator
from pathlib import Path

CHUNK = 4096  # bytes of base64 at a time, the most that kitty's protocol takes
ITERM = ("iTerm.app", "WezTerm")  # what TERM_PROGRAM says where OSC 1337 is known


def show(path: Path) -> None:
    """Writes a PNG to stdout where that is a terminal that shows pictures; else nothing."""
    if not sys.stdout.isatty():
        return
    encoded = base64.b64encode(path.read_bytes()).decode()
    if os.environ.get("KITTY_WINDOW_ID") or os.environ.get("TERM") in ("xterm-kitty", "xterm-ghostty"):
        sys.stdout.write("".join(_kitty(encoded)) + "\n")
    elif os.environ.get("TERM_PROGRAM") in ITERM:
        sys.stdout.write(f"\033]1337;File=inline=1;width=60:{encoded}\a\n")
    sys.stdout.flush()


def _kitty(encoded: str) -> Iterator[str]:
    for first in range(0, len(encoded), CHUNK):
        more = int(first + CHUNK < len(encoded))
        control = f"a=T,f=100,c=60,m={more}" if first == 0 else f"m={more}"
        yield f"\033_G{control};{encoded[first : first + CHUNK]}\033\\"
