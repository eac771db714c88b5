"""Which numbers an artifact decides by, where others have their shape."""

from mobilevit_deploy.targets.before_decision import Shape, find_numbers, nearest

MADE_OF = {
    "boxes": ["maps"],
    "background": ["maps"],
    "scores": ["background"],
    "sorted": ["boxes", "places"],
    "places": ["scores"],
    "labels": ["logits"],
    "logits": ["early", "early"],
}


def test_the_nearest_is_meant() -> None:
    known: dict[str, Shape] = {
        "boxes": (1, 9, 4),
        "background": (1, 9, 4),
        "scores": (1, 9, 3),
        "sorted": (1, 9, 4),
        "maps": (1, 9, 4),
    }
    assert find_numbers(("sorted", "places"), ((1, 9, 4), (1, 9, 3)), MADE_OF, known) == ["boxes", "scores"]
    maps = {"logits": (1, 3, 8, 8), "early": (1, 3, 8, 8)}
    assert find_numbers(("labels",), ((1, 3, 8, 8),), MADE_OF, maps) == ["logits"]


def test_one_shape_for_both() -> None:
    """Boxes of four classes."""
    known = dict.fromkeys(("boxes", "background", "scores", "sorted", "maps"), (1, 9, 4))
    assert find_numbers(("sorted", "places"), ((1, 9, 4), (1, 9, 4)), MADE_OF, known) == ["boxes", "scores"]


def test_none_is_none() -> None:
    assert find_numbers(("labels",), ((2, 2),), MADE_OF, {"logits": (1, 3, 8, 8)}) == [None]
    assert find_numbers(("labels", "boxes"), ((2, 2),), MADE_OF, {}) == [None]
    assert nearest("a", {"a": ["b"], "b": ["a"]}, lambda name: name == "c") is None
