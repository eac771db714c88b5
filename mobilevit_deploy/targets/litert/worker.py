"""Answers what is asked of LiteRT, a JSON request and an answer a line, until its standard input ends.

A process of its own, because the converter, the quantizer and the runtime log on both streams, and end their process
where a graph or a file is none that they know. The current folder of temporary files is the parent's.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mobilevit_deploy.system.request_loop import answer_requests

# Conversions are the same in every process then; and what TensorFlow's libraries log before they are set up is less.
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "GLOG_minloglevel": "3", "JAX_PLATFORMS": "cpu"}


class Server:
    """The commands, by name; arguments are a request's entries. At most one model is open."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.gettempdir())
        self._model: Any = None

    def convert(self, **request: Any) -> dict[str, Any]:
        """Converts a saved program, see ``lower.convert``."""
        from mobilevit_deploy.targets.litert.lower import convert

        convert(**request)
        return {}

    def store_weights(self, **request: Any) -> dict[str, Any]:
        """Writes a file with its weights in fewer bits, see ``requantize.store_weights``."""
        from mobilevit_deploy.targets.litert.requantize import store_weights

        store_weights(**request)
        return {}

    def quantize(self, **request: Any) -> dict[str, Any]:
        """Writes a file that computes in int8, see ``requantize.quantize``."""
        from mobilevit_deploy.targets.litert.requantize import quantize

        quantize(**request)
        return {}

    def lowerings(self) -> dict[str, Any]:
        """Returns which calls of ATen the converter has a form for, and which it takes apart before."""
        from mobilevit_deploy.targets.litert.lower import lowerings

        return lowerings()

    def open(self, path: str, **settings: Any) -> dict[str, Any]:
        """Loads a file, see ``session.Session``."""
        from mobilevit_deploy.targets.litert.session import Session

        self._model = Session(path, **settings)
        return {}

    def run(self, path: str) -> dict[str, Any]:
        """Runs the open file on a stored array; the answer names the files of its outputs, in order."""
        return {"files": self._model.run(path, self._folder)}

    def values(self, path: str, tensors: Sequence[int]) -> dict[str, Any]:
        """Runs the open file; the answer names the files of what some of its tensors hold then."""
        return {"files": self._model.values(path, tensors, self._folder)}


def main() -> int:
    """Serves."""
    os.environ.update(ENVIRONMENT)
    answer_requests(Server())
    return 0


if __name__ == "__main__":
    sys.exit(main())
