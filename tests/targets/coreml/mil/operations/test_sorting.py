import pytest

from tests.targets.coreml.mil.single import Case, check, floats

X = floats(3, 5)

CASES = [
    Case("topk", {"x": X, "k": 2, "axis": 1}),
    Case("topk", {"x": X, "k": 2, "axis": 0, "ascending": True}),
    Case("topk", {"x": X, "k": 2, "axis": 0, "return_indices": False, "sort": True}, ios=16),
    Case("topk", {"x": X, "k": 2, "output_indices_dtype": "uint16"}, lambda x, k, **_: list(x.topk(k)), ios=17),
    Case("topk", {"x": X}),
    Case("argsort", {"x": X}),
    Case("argsort", {"x": X, "axis": 0, "ascending": True}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees(case: Case) -> None:
    check(case)
