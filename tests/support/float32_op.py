"""An op that has a kernel for float32 and for no other dtype, as compiled ones of other packages often do."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def halve_in_float32() -> Iterator[None]:
    """Registers ``torch.ops.mvd_test.halve`` while it lasts."""
    with torch.library._scoped_library("mvd_test", "FRAGMENT") as library:
        library.define("halve(Tensor x, ScalarType? dtype=None) -> Tensor")
        library.impl("halve", _halve, "CPU")
        library.impl("halve", lambda x, dtype=None: torch.empty_like(x), "Meta")
        yield


def _halve(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    if x.dtype != torch.float32 or dtype not in (None, torch.float32):
        raise NotImplementedError("\"halve\" not implemented for 'Double'")
    return x / 2
