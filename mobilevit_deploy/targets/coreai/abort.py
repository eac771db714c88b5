"""Which operation of an asset makes Apple's compiler abort: LLVM's own message names no place in the model."""

from pathlib import Path
from typing import Any

from mobilevit_deploy.targets.coreai.child import Child, ChildError


def find_aborting(path: Path) -> dict[str, Any] | None:
    """Returns the first operation that cannot be lowered, as ``coreai.program`` lists them; None where none is found.

    The program is cut off behind an operation and lowered, each time in a new process, as in a search by halves.
    """
    child = Child()
    try:
        operations: list[dict[str, Any]] = child.ask("operations", path=str(path))["operations"]
    except ChildError:
        return None
    finally:
        child.close()
    first, last = 0, len(operations)  # what stands before ``first`` is lowered; what ends with ``last`` is not
    while first < last:
        middle = (first + last) // 2
        if _lowers(path, middle):
            first = middle + 1
        else:
            last = middle
    return operations[first] if first < len(operations) else None


def _lowers(path: Path, last: int) -> bool:
    child = Child()
    try:
        child.ask("open_cut", path=str(path), last=last)
    except ChildError:
        return False
    finally:
        child.close()
    return True
