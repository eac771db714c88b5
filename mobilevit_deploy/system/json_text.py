"""Documents as JSON text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

SCHEMA = 1


def dumps(document: Mapping[str, Any]) -> str:
    """Returns a document as JSON text; NaN and infinity, which JSON lacks, become null."""
    return json.dumps(_finite(document), indent=2, ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
