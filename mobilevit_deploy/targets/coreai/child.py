"""The process that Apple's native code runs in: it aborts on graphs that it does not know, and takes that along."""

from collections.abc import Sequence

from mobilevit_deploy.system.child_process import CHILD
from mobilevit_deploy.targets.native_child import ChildError, NativeChild

__all__ = ["Child", "ChildError"]

WORKER = (*CHILD, "mobilevit_deploy.targets.coreai.worker")
LONGEST_REQUEST_S = 600  # the largest LightViT converts in a tenth of it


class Child(NativeChild):
    """A process with Core AI in it."""

    def __init__(self) -> None:
        super().__init__(WORKER, "coreai", LONGEST_REQUEST_S)

    def stage(self) -> str:
        path = self.folder / "stage"
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def last_words(self, log: Sequence[str]) -> str:
        """Returns LLVM's own error where it left one: it prints what is wrong, and behind it the operation."""
        places = [i for i, line in enumerate(log) if "error" in line.lower()]
        return " ".join(line.strip() for line in log[places[-1] :][:2]) if places else ""
