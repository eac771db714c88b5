"""Two small graphs side by side, as SVG: a box a call, from top to bottom, and what a rewrite changed in colour.

The same graphs give the same bytes. The picture brings its own background, and follows a dark desktop.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

CHARACTER = 7.3  # width of one, at 12 px, in the fonts that are named below
LINE = 16
PADDING = 10
GAP = 26  # between boxes of a row
STEP = 30  # between rows
MARGIN = 24
TOP = 64  # for the headings

STYLE = """
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328; }
.name { font-weight: 700; } .small { fill: #59636e; } .head { font-size: 14px; font-weight: 700; }
.card { fill: #ffffff; stroke: #d1d9e0; } .box { fill: #f6f8fa; stroke: #8c959f; }
.gone .box { fill: #ffebe9; stroke: #cf222e; } .new .box { fill: #dafbe1; stroke: #1a7f37; }
.edge { fill: none; stroke: #8c959f; stroke-width: 1.2; } .tip { fill: #8c959f; } .rule { stroke: #d1d9e0; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; } .small { fill: #9198a1; } .card { fill: #0d1117; stroke: #3d444d; }
.box { fill: #151b23; stroke: #656c76; } .gone .box { fill: #3c1618; stroke: #f85149; }
.new .box { fill: #12351d; stroke: #3fb950; } .edge { stroke: #656c76; } .tip { fill: #656c76; }
.rule { stroke: #3d444d; }
}
""".strip()


@dataclass(frozen=True)
class Box:
    """A call, or what goes in and out.

    Attributes:
        name: unique in its graph.
        lines: the op, then what belongs to it.
        reads: the names of the boxes whose outputs it takes.
        changed: whether the other graph has no such box.
    """

    name: str
    lines: tuple[str, ...]
    reads: tuple[str, ...]
    changed: bool = False

    @property
    def width(self) -> float:
        """Returns the width that its longest line takes."""
        return max(len(line) for line in self.lines) * CHARACTER + 2 * PADDING

    @property
    def height(self) -> float:
        """Returns the height of its lines."""
        return len(self.lines) * LINE + PADDING


@dataclass
class Place:
    """Where a box lies, or a bend of a line that passes a row."""

    width: float
    height: float
    x: float = 0.0  # of its middle
    y: float = 0.0  # of its upper edge
    above: list["Place"] = field(default_factory=list)
    below: list["Place"] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """A graph with its places; the lines go from place to place."""

    places: Mapping[str, Place]
    lines: Sequence[Sequence[Place]]
    width: float
    height: float


def arrange(boxes: Sequence[Box]) -> Layout:
    """Places boxes in rows, each below all that it reads."""
    row_of: dict[str, int] = {}
    for box in boxes:  # a graph's nodes are in order: what is read stands before what reads it
        row_of[box.name] = 1 + max((row_of[name] for name in box.reads), default=-1)
    rows: list[list[Place]] = [[] for _ in range(max(row_of.values()) + 1)]
    places = {box.name: Place(box.width, box.height) for box in boxes}
    for box in boxes:
        rows[row_of[box.name]].append(places[box.name])
    lines = []
    for box in boxes:
        for name in box.reads:
            line = [places[name]]
            for row in range(row_of[name] + 1, row_of[box.name]):
                line.append(Place(0, 0))
                rows[row].append(line[-1])
            line.append(places[box.name])
            for upper, lower in pairwise(line):
                upper.below.append(lower)
                lower.above.append(upper)
            lines.append(line)
    for _ in range(4):
        _order(rows, down=True)
        _order(rows[::-1], down=False)
    for _ in range(30):
        _align(rows, down=True)
        _align(rows[::-1], down=False)
    _align(rows, down=True)
    y = 0.0
    for row_places in rows:
        for place in row_places:
            place.y = y
            place.height = place.height or max(item.height for item in row_places)
        y += max(place.height for place in row_places) + STEP
    left = min(place.x - place.width / 2 for row_places in rows for place in row_places)
    right = max(place.x + place.width / 2 for row_places in rows for place in row_places)
    for row_places in rows:
        for place in row_places:
            place.x -= left
    return Layout(places, lines, right - left, y - STEP)


def _order(rows: Sequence[list[Place]], down: bool) -> None:
    """Sorts each row by the mean position of its neighbours in the row before."""
    for before, row in pairwise(rows):
        position = {id(place): i for i, place in enumerate(before)}
        own = {id(place): float(i) for i, place in enumerate(row)}
        for place in row:
            if near := place.above if down else place.below:
                own[id(place)] = sum(position[id(item)] for item in near) / len(near)
        row.sort(key=lambda place: own[id(place)])
        _spread(row, [place.x for place in row])


def _align(rows: Sequence[list[Place]], down: bool) -> None:
    """Moves the places of each row towards the middle of their neighbours."""
    for row in rows:
        wanted = []
        for place in row:
            near = place.above if down else place.below
            wanted.append(sum(item.x for item in near) / len(near) if near else place.x)
        _spread(row, wanted)


def _spread(row: Sequence[Place], wanted: Sequence[float]) -> None:
    """Gives the places of a row these middles, moved apart where they would touch."""
    edge = None
    for place, x in zip(row, wanted, strict=True):
        place.x = x if edge is None else max(x, edge + place.width / 2)
        edge = place.x + place.width / 2 + GAP
    shift = sum(x - place.x for place, x in zip(row, wanted, strict=True)) / len(row)
    for place in row:
        place.x += shift


def side_by_side(title: str, before: Sequence[Box], after: Sequence[Box]) -> str:
    """Returns the picture of two graphs."""
    left, right = arrange(before), arrange(after)
    heads = (_head("before", before), _head("after", after))
    widths = [
        max(layout.width, len(head) * CHARACTER * 14 / 12) for layout, head in zip((left, right), heads, strict=True)
    ]
    middle = MARGIN + widths[0] + MARGIN
    width, height = middle + MARGIN + widths[1] + MARGIN, TOP + max(left.height, right.height) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1:.0f}" rx="8"/>',
        f'<line class="rule" x1="{middle:.1f}" y1="16" x2="{middle:.1f}" y2="{height - 16:.0f}"/>',
    ]
    for start, span, head, boxes, layout, kind in (
        (MARGIN, widths[0], heads[0], before, left, "gone"),
        (middle + MARGIN, widths[1], heads[1], after, right, "new"),
    ):
        parts.append(f'<text class="head" x="{start}" y="34">{head}</text>')
        parts += _graph(boxes, layout, start + (span - layout.width) / 2, kind)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _head(word: str, boxes: Sequence[Box]) -> str:
    calls = len(boxes) - 2  # without what goes in and out
    return f"{word}: {calls} {'call' if calls == 1 else 'calls'}"


def _graph(boxes: Sequence[Box], layout: Layout, left: float, kind: str) -> Iterator[str]:
    for line in layout.lines:
        yield from _line(line, left)
    for box in boxes:
        place = layout.places[box.name]
        x, y = left + place.x - box.width / 2, TOP + place.y
        yield f'<g class="{kind}">' if box.changed else "<g>"
        yield f'<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{box.height:.0f}" rx="5"/>'
        for i, text in enumerate(box.lines):
            style = "small" if i else "name"
            yield (
                f'<text class="{style}" x="{left + place.x:.1f}" y="{y + 16 + i * LINE:.1f}" '
                f'text-anchor="middle">{escape(text)}</text>'
            )
        yield "</g>"


def _line(line: Sequence[Place], left: float) -> Iterator[str]:
    """Yields the line between two boxes, through the bends between them, with its tip."""
    x, y = left + line[0].x, TOP + line[0].y + line[0].height
    path = f"M{x:.1f} {y:.1f}"
    for place in line[1:]:
        end_x, end_y = left + place.x, TOP + place.y
        half = (y + end_y) / 2
        path += f" C{x:.1f} {half:.1f} {end_x:.1f} {half:.1f} {end_x:.1f} {end_y:.1f}"
        x, y = end_x, end_y
        if place is not line[-1]:
            y += place.height
            path += f" L{x:.1f} {y:.1f}"
    yield f'<path class="edge" d="{path}"/>'
    yield f'<path class="tip" d="M{x:.1f} {y:.1f} l-3.5 -6.5 h7 z"/>'
