"""Where in an artifact the numbers stand that it decides by: a decision leaves nothing of their shape.

Logits (B, classes, H, W) become a label map (B, H, W); of boxes (1, N, 4) and scores (1, N, classes) few are left.
Another value may have the same shape, such as scores beside a background, so the nearest before the decision is meant.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

Shape = tuple[int, ...]


def nearest(end: str, made_of: Mapping[str, Sequence[str]], fits: Callable[[str], bool]) -> str | None:
    """Returns the nearest value before another that fits; None where there is none.

    Args:
        end: name of the other.
        made_of: what each value is computed from, by name.
        fits: whether a value is meant.
    """
    seen, waiting = {end}, deque([end])
    while waiting:
        name = waiting.popleft()
        if fits(name):
            return name
        for item in made_of.get(name, ()):
            if item not in seen:
                seen.add(item)
                waiting.append(item)
    return None


def find_numbers(
    ends: Sequence[str], shapes: Sequence[Shape], made_of: Mapping[str, Sequence[str]], known: Mapping[str, Shape]
) -> list[str | None]:
    """Returns the names of the numbers behind which an artifact decides, one for each shape; None for none.

    The last is found first, and no other one is made of it: boxes that were sorted by their scores are no longer those
    that the model returned.

    Args:
        ends: what decides by each of them.
        shapes: of the numbers.
        made_of: as above.
        known: shapes of the floating-point values.
    """
    if len(ends) != len(shapes):  # of a file that decides otherwise
        return [None] * len(shapes)
    found: list[str | None] = []
    for end, shape in zip(reversed(ends), reversed(shapes), strict=True):
        found.append(nearest(end, made_of, partial(_fits, shape, tuple(found), made_of, known)))
    return found[::-1]


def _fits(
    shape: Shape,
    others: Sequence[str | None],
    made_of: Mapping[str, Sequence[str]],
    known: Mapping[str, Shape],
    name: str,
) -> bool:
    return known.get(name) == shape and nearest(name, made_of, lambda item: item in others) is None
