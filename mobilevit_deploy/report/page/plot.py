"""Accuracy against what it costs, as SVG for a page: text stays text, colours are the page's own."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Drawn in these and replaced by the variables of the page's style sheet, which has them for light and for dark.
INK, FAINT, BEST, OTHER = "#010203", "#040506", "#070809", "#0a0b0c"
VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)", BEST: "var(--accent)", OTHER: "var(--quiet)"}

WIDE, NARROW = (7.6, 4.4), (3.7, 3.9)  # inches of 72 units: as wide as a page's column, and as a phone
OFFSETS = ((7, 5), (7, -12), (-7, 5), (-7, -12))  # of a label, in points; farther away it would name another point
MOST_LARGE = 40  # points of a plot; of more the beaten ones are drawn small
WIDE_RANGE = 20  # of the largest to the least cost, beyond which a scale by powers shows more


@dataclass(frozen=True)
class Mark:
    """One point of a plot.

    Attributes:
        x: what it costs, above 0.
        y: its accuracy, in percent.
        labels: its names, the longest first; the first that there is room for is drawn, of none none.
        best: whether no other is both cheaper and more accurate; the line joins these.
        interval: of x; None for one that is exact or not known.
        shape: the marker, as matplotlib names it.
        filled: False for a measurement that may not be cited.
    """

    x: float
    y: float
    labels: Sequence[str] = ()
    best: bool = False
    interval: tuple[float, float] | None = None
    shape: str = "o"
    filled: bool = True


@dataclass(frozen=True)
class Picture:
    """What is drawn: at least one mark, and the titles of both axes."""

    marks: Sequence[Mark]
    x_title: str
    y_title: str


def pareto_svg(picture: Picture, size: tuple[float, float], prefix: str) -> Markup:
    """Returns one plot.

    Args:
        picture: what is drawn.
        size: width and height in inches.
        prefix: of every id in it, for several plots share a page.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "mvd", "font.size": 9.5, "text.parse_math": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.08))
        canvas: Any = FigureCanvasSVG(figure)  # its methods have no types
        axes = figure.add_subplot()
        _draw_axes(axes, picture)
        _draw_marks(axes, picture.marks)
        figure.draw_without_rendering()  # the layout must be known before labels are placed
        _draw_labels(axes, picture.marks)
        file = io.StringIO()
        canvas.print_svg(file, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _for_page(file.getvalue(), prefix)


def _draw_axes(axes: Axes, picture: Picture) -> None:
    axes.set_xlabel(picture.x_title, color=INK)
    axes.set_ylabel(picture.y_title, color=INK)
    axes.tick_params(colors=INK)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(INK)
    axes.patch.set_visible(False)
    axes.figure.patch.set_visible(False)
    costs, accuracies = [mark.x for mark in picture.marks], [mark.y for mark in picture.marks]
    if max(costs) > WIDE_RANGE * min(costs):
        _scale_by_powers(axes, min(costs) / 1.25)
    else:
        axes.set_xlim(left=0)
    axes.set_xlim(right=max(costs) * 1.25)  # a wide interval may run off the plot
    axes.set_ylim(min(accuracies) - 1, max(accuracies) + 1)


def _scale_by_powers(axes: Axes, left: float) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_xscale("log")
    axes.set_xlim(left=left)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_marks(axes: Axes, marks: Sequence[Mark]) -> None:
    """Draws those that look alike in one call: there may be a thousand."""
    best = sorted((mark.x, mark.y) for mark in marks if mark.best)
    axes.step([x for x, _ in best], [y for _, y in best], where="post", color=BEST, linewidth=1.2, alpha=0.7)
    for (is_best, shape, filled, sure), alike in groupby(sorted(marks, key=_looks), _looks):
        found, colour = list(alike), BEST if is_best else OTHER
        axes.errorbar(
            [mark.x for mark in found],
            [mark.y for mark in found],
            xerr=None if sure else [_arms(found, -1), _arms(found, 1)],
            linestyle="none",
            marker=shape,
            markersize=7 if is_best or len(marks) <= MOST_LARGE else 4.5,
            color=colour,
            markerfacecolor=colour if filled else "none",
            capsize=3,
            elinewidth=1,
        )


def _looks(mark: Mark) -> tuple[bool, str, bool, bool]:
    return mark.best, mark.shape, mark.filled, mark.interval is None


def _arms(marks: Sequence[Mark], side: int) -> list[float]:
    """Returns how far each interval reaches to the left (-1) or to the right (1) of its mark."""
    ends = [(mark.interval or (mark.x, mark.x))[side > 0] for mark in marks]
    return [max(side * (end - mark.x), 0) for end, mark in zip(ends, marks, strict=True)]


def _draw_labels(axes: Axes, marks: Sequence[Mark]) -> None:
    """Names the points where there is room, the best first."""
    from matplotlib.transforms import Bbox

    scale = axes.figure.dpi / 72
    places = [axes.transData.transform((mark.x, mark.y)) for mark in marks]
    taken = [Bbox.from_bounds(x - 5 * scale, y - 5 * scale, 10 * scale, 10 * scale) for x, y in places]
    for mark in sorted(marks, key=lambda mark: not mark.best):
        for text in mark.labels:
            if _place(axes, mark, text, taken):
                break


def _place(axes: Axes, mark: Mark, text: str, taken: list[Any]) -> bool:
    for dx, dy in OFFSETS:
        label = axes.annotate(
            text,
            (mark.x, mark.y),
            xytext=(dx, dy),
            textcoords="offset points",
            horizontalalignment="left" if dx > 0 else "right",
            color=INK,
            fontsize=9,
        )
        box = label.get_window_extent()
        inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1
        if inside and not any(box.overlaps(other) for other in taken):
            taken.append(box)
            return True
        label.remove()
    return False


def _for_page(svg: str, prefix: str) -> Markup:
    """Returns the SVG element alone, with ids of its own, the page's colours and the page's font."""
    svg = svg[svg.index("<svg") :]
    # Its rule for all elements, *, would be one for the whole page, which a browser then styles anew; base.css has it.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r'<svg\b[^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true" focusable="false">', svg, count=1)
    svg = svg.replace("xlink:href", "href")  # xlink's namespace went with the element's attributes
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return Markup(svg)
