"""Files of corrupted graphs: what a verification catches on targets whose files cannot be edited."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.mutations.graph_judge import GraphSubject
from tests.support.mutations.judge import CHANGED


@pytest.mark.slow  # a conversion each
@pytest.mark.parametrize("target", ["onnx", "executorch", "coreai"])
def test_all_that_changes_the_output_is_caught(target: str, tmp_path: Path) -> None:
    subject = GraphSubject(target, "tests.research.hybrid_net:build", side=32)
    assert subject.verdict(None, tmp_path) == "passed"
    found = list(subject.wrong_graphs(per_kind=1, seed=0, folder=tmp_path))
    assert Counter(one.kind for one in found if one.verdict == "passed") == {}
    assert all(one.verdict is None for one in found if one.change <= CHANGED)
    assert sum(one.verdict == "failed" for one in found) >= 10  # of 16 kinds; the rest changes too little to be told
