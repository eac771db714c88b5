"""Runs one ``.pte`` file for whoever asks on standard input: native code that ends its process on a broken file.

The first frame is JSON and names the file; it is answered with JSON. Then each frame is an input as ``.npy`` bytes, and
is answered with its outputs as ``.npz`` bytes. A frame is its length, 8 bytes, little-endian, and its content.
"""

import io
import json
import os
import sys
from typing import BinaryIO

import numpy as np

from mobilevit_deploy.system.parent_watch import end_with_parent

LARGEST_FRAME = 2**31  # bytes


def write_frame(stream: BinaryIO, content: bytes) -> None:
    """Writes one frame."""
    stream.write(len(content).to_bytes(8, "little") + content)
    stream.flush()


def read_frame(stream: BinaryIO) -> bytes | None:
    """Returns one frame; None at the end of the stream, and for one that is cut off or too long."""
    head = stream.read(8)
    size = int.from_bytes(head, "little")
    if len(head) < 8 or size > LARGEST_FRAME:
        return None
    content = stream.read(size)
    return content if len(content) == size else None


def main() -> None:
    """Loads the file, then answers inputs until standard input ends."""
    end_with_parent()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what native code prints is no answer
    request = json.loads(read_frame(sys.stdin.buffer) or b"{}")
    import torch

    # The binding itself: executorch.runtime imports the whole converter beside it, 3.7 s of CPU time (1.5.1).
    from executorch.extension.pybindings import _C

    torch.set_num_threads(1)
    _C._unsafe_reset_threadpool(1)
    program = _C._load_program(request["path"])
    method = program.load_method("forward")
    write_frame(answers, b"{}")
    while (content := read_frame(sys.stdin.buffer)) is not None:
        batch = torch.from_numpy(np.load(io.BytesIO(content), allow_pickle=False))
        outputs = [item.numpy() for item in method([batch])]
        packed = io.BytesIO()
        np.savez(packed, *outputs)
        write_frame(answers, packed.getvalue())


if __name__ == "__main__":
    try:
        main()
    except Exception as refusal:  # the binding's errors have no common type
        print(f"{type(refusal).__name__}: {refusal}", file=sys.stderr, flush=True)
        os._exit(1)  # at once: what native code has begun is not taken down
