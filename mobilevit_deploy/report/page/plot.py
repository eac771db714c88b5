"""Published accuracy against measured latency, as SVG for a page: text stays text, colours are the page's own."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mobilevit_deploy.report.page.frontier import Group, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Drawn in these and replaced by the variables of the page's style sheet, which has them for light and for dark.
INK, FAINT, BEST, OTHER = "#010203", "#040506", "#070809", "#0a0b0c"
VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)", BEST: "var(--accent)", OTHER: "var(--quiet)"}

WIDE, NARROW = (7.6, 4.4), (3.7, 3.9)  # inches of 72 units: as wide as a page's column, and as a phone
OFFSETS = ((7, 5), (7, -12), (-7, 5), (-7, -12))  # of a label, in points; farther away it would name another point


def pareto_svg(group: Group, size: tuple[float, float], prefix: str) -> Markup:
    """Returns one plot.

    Args:
        group: what is drawn; at least one point.
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
        _draw_axes(axes, group.points)
        _draw_points(axes, group.points)
        figure.draw_without_rendering()  # the layout must be known before labels are placed
        _draw_labels(axes, group.points)
        file = io.StringIO()
        canvas.print_svg(file, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _for_page(file.getvalue(), prefix)


def _draw_axes(axes: Axes, points: Sequence[Point]) -> None:
    axes.set_xlabel("measured latency, median and 95 % interval, ms", color=INK)
    axes.set_ylabel("published top-1, %", color=INK)
    axes.tick_params(colors=INK)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(INK)
    axes.patch.set_visible(False)
    axes.figure.patch.set_visible(False)
    accuracies = [point.top1_percent for point in points]
    axes.set_xlim(0, max(point.latency.p50_ms for point in points) * 1.25)  # a wide interval may run off the plot
    axes.set_ylim(min(accuracies) - 1, max(accuracies) + 1)


def _draw_points(axes: Axes, points: Sequence[Point]) -> None:
    best = [point for point in points if point.best]
    steps = [point.latency.p50_ms for point in best], [point.top1_percent for point in best]
    axes.step(*steps, where="post", color=BEST, linewidth=1.2, alpha=0.7)
    for point in points:
        colour, x = BEST if point.best else OTHER, point.latency.p50_ms
        low, high = point.latency.ci95_ms
        axes.errorbar(
            x,
            point.top1_percent,
            xerr=[[max(x - low, 0)], [max(high - x, 0)]],
            marker="o" if point.artifact.trained else "^",
            markersize=7,
            color=colour,
            markerfacecolor=colour if point.latency.stable else "none",
            capsize=3,
            elinewidth=1,
        )


def _draw_labels(axes: Axes, points: Sequence[Point]) -> None:
    """Names the points where there is room, the best first; else gives the number only."""
    from matplotlib.transforms import Bbox

    scale = axes.figure.dpi / 72
    places = [axes.transData.transform((point.latency.p50_ms, point.top1_percent)) for point in points]
    taken = [Bbox.from_bounds(x - 5 * scale, y - 5 * scale, 10 * scale, 10 * scale) for x, y in places]
    for point in sorted(points, key=lambda point: not point.best):
        for text in (f"{point.number} {point.artifact.record.model}", str(point.number)):
            if _place(axes, point, text, taken):
                break


def _place(axes: Axes, point: Point, text: str, taken: list[Any]) -> bool:
    for dx, dy in OFFSETS:
        label = axes.annotate(
            text,
            (point.latency.p50_ms, point.top1_percent),
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
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r'<svg\b[^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true" focusable="false">', svg, count=1)
    svg = svg.replace("xlink:href", "href")  # xlink's namespace went with the element's attributes
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return Markup(svg)
