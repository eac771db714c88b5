"""Pictures with what was found in them: a mask over the pixels, boxes with names, or the class below."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from mobilevit_deploy.images.pictures import open_picture
from mobilevit_deploy.verification.accuracy.detection import Detections, Masks
from mobilevit_deploy.verification.prediction.document import shares_of
from mobilevit_deploy.verification.prediction.reading import Found, Ranking

if TYPE_CHECKING:
    from mobilevit_deploy.loading.class_names import Color
    from mobilevit_deploy.verification.prediction.predict import Predicted, PredictReport

LONGEST_SIDE = 1024  # pixels of a picture that is drawn on; a photograph has more than a page shows
TILE = 320  # of one on a contact sheet, and the least that is drawn on: names must be read
GAP = 6  # pixels between two
MASK = 0.55  # how much of a pixel is its class's colour
GOLDEN = 0.618033988749895  # turns of the hue from one class to the next: near numbers get far colours
SHOWN_SCORE = 0.3  # boxes that score less are left out of a picture; the table and the JSON have them
NAMED = 8  # classes of a mask that are named below it
INK, PAPER = (20, 20, 20), (255, 255, 255)


def draw(report: PredictReport, item: Predicted, longest: int = LONGEST_SIDE) -> Image.Image:
    """Returns a picture with what the artifact found, and beside it with what PyTorch found, where it was asked.

    Args:
        report: with the names and colours of the classes.
        item: the picture, and what was found in it.
        longest: side of the picture, in pixels.

    Raises:
        MvdError: the picture cannot be read any more.
    """
    return _in_a_row(
        _sides(report, item, longest, [report.artifact.name, "PyTorch"] if item.reference is not None else [""])
    )


def answer_text(report: PredictReport, found: Found) -> str:
    """Returns what was found in one line: the likeliest class, the largest of a mask, or how many boxes."""
    if isinstance(found, Ranking):
        label = found.classes[0]
        return f"{report.name(label)}, {found.probabilities[label]:.1%}"
    if isinstance(found, Detections):
        return _count_text(found)
    label, share = shares_of(found)[0]
    return f"{report.name(label)} on {share:.1%} of the pixels"


def _count_text(found: Detections) -> str:
    count = int((found.scores >= SHOWN_SCORE).sum())
    return f"{count} {'box' if count == 1 else 'boxes'} of a score of {SHOWN_SCORE} or more"


def _sides(report: PredictReport, item: Predicted, longest: int, titles: Sequence[str]) -> list[Image.Image]:
    """Returns a picture once for each title, with what the artifact found, and what PyTorch found."""
    with open_picture(item.image) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    whole = picture.size
    side = max(TILE, min(longest, max(whole)))
    picture = ImageOps.contain(picture, (side, side))
    answers = [found for found in (item.found, item.reference) if found is not None]
    return [_captioned(report, picture, whole, found, title) for found, title in zip(answers, titles, strict=True)]


def contact_sheet(report: PredictReport) -> Image.Image:
    """Returns all pictures, small, on one sheet; raises MvdError where one cannot be read any more."""
    tiles: list[Image.Image] = []
    for item in report.predictions:
        titles = [item.image.name, *([f"{item.image.name}, PyTorch"] if item.reference is not None else [])]
        tiles += _sides(report, item, TILE, titles)
    columns = math.ceil(math.sqrt(len(tiles)))
    across = max(tile.width for tile in tiles) + GAP
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile in row) + GAP for row in rows]
    sheet = Image.new("RGB", (across * columns, sum(heights)), PAPER)
    for number, row in enumerate(rows):
        for place, tile in enumerate(row):
            sheet.paste(tile, (place * across, sum(heights[:number])))
    return sheet


def _in_a_row(parts: Sequence[Image.Image]) -> Image.Image:
    width = sum(part.width for part in parts) + GAP * (len(parts) - 1)
    row = Image.new("RGB", (width, max(part.height for part in parts)), PAPER)
    left = 0
    for part in parts:
        row.paste(part, (left, 0))
        left += part.width + GAP
    return row


def _captioned(
    report: PredictReport, picture: Image.Image, whole: tuple[int, int], found: Found, title: str
) -> Image.Image:
    """Returns a copy of a picture with what was found, in it and below it.

    Args:
        report: with the names and colours of the classes.
        picture: as it is drawn on.
        whole: its own (width, height), in whose pixels boxes are.
        found: in it.
        title: above what is said below it; none where it is empty.
    """
    lines: list[tuple[str, Color]] = [(title, INK)] if title else []
    if isinstance(found, Ranking):
        drawn = picture
        best = [f"{report.name(label)} {found.probabilities[label]:.1%}" for label in found.classes[:3]]
        lines += [(line, INK) for line in best]
    elif isinstance(found, Detections):
        drawn = _with_boxes(report, picture, whole, found)
        lines.append((_count_text(found), INK))
    else:
        drawn = _with_mask(report, picture, found)
        shares = shares_of(found)[:NAMED]
        lines += [(f"{report.name(label)} {share:.1%}", _color(report, label)) for label, share in shares]
    return _with_lines(drawn, lines)


def _with_mask(report: PredictReport, picture: Image.Image, labels: Any) -> Image.Image:
    found, places = np.unique(labels, return_inverse=True)
    colors = np.array([_color(report, int(label)) for label in found], dtype=np.uint8)
    mask = Image.fromarray(colors[places.reshape(labels.shape)]).resize(picture.size, Image.Resampling.NEAREST)
    return Image.blend(picture, mask, MASK)


def _with_boxes(report: PredictReport, picture: Image.Image, whole: tuple[int, int], found: Detections) -> Image.Image:
    scale = np.array([picture.width / whole[0], picture.height / whole[1]] * 2)
    drawn = _with_instances(report, picture, scale, found, found.masks) if found.masks else picture.copy()
    pen = ImageDraw.Draw(drawn)
    font, width = _font(picture), max(1, max(picture.size) // 300)
    # The best last, so that no worse one lies over it.
    for place in np.argsort(found.scores, kind="stable"):
        box, score, label = found.boxes[place] * scale, found.scores[place], int(found.labels[place])
        if not _is_shown(box, score):
            continue
        color = _color(report, label)
        pen.rectangle(tuple(box), outline=color, width=width)
        text, corner = f"{report.name(label)} {score:.2f}", (box[0], max(0.0, box[1] - font.size - 2))
        pen.rectangle(pen.textbbox(corner, text, font=font), fill=color)
        pen.text(corner, text, fill=_readable_on(color), font=font)
    return drawn


def _is_shown(box: Any, score: float) -> bool:
    return bool(score >= SHOWN_SCORE and np.isfinite(box).all() and (box[2:] >= box[:2]).all())


def _with_instances(
    report: PredictReport, picture: Image.Image, scale: Any, found: Detections, masks: Masks
) -> Image.Image:
    """Returns a copy of a picture with the pixels of each instance in its class's colour, the best one's on top."""
    drawn = picture.copy()
    for place in np.argsort(found.scores, kind="stable"):
        box = masks.boxes[place] * scale
        if not _is_shown(box, found.scores[place]) or (box[2:] <= box[:2]).any():
            continue
        inside = masks.pixels(int(place), scale, picture.size)
        color = Image.new("RGB", picture.size, _color(report, int(found.labels[place])))
        drawn.paste(Image.blend(picture, color, MASK), mask=Image.fromarray(inside))
    return drawn


def _with_lines(picture: Image.Image, lines: Sequence[tuple[str, Color]]) -> Image.Image:
    """Returns a picture with lines of text below it, each behind a square of its colour unless that is the ink's."""
    font = _font(picture)
    step = math.ceil(font.size * 1.4)
    widest = max((font.getlength(text) for text, _ in lines), default=0.0) + 2 * step
    page = Image.new("RGB", (max(picture.width, math.ceil(widest)), picture.height + step * len(lines) + 4), PAPER)
    page.paste(picture, (0, 0))
    pen = ImageDraw.Draw(page)
    for number, (text, color) in enumerate(lines):
        left, top = 2, picture.height + 2 + number * step
        if color != INK:
            pen.rectangle((left, top + 2, left + step - 4, top + step - 4), fill=color, outline=INK)
            left += step
        pen.text((left, top), text, fill=INK, font=font)
    return page


def _font(picture: Image.Image) -> ImageFont.FreeTypeFont:
    return _font_of(max(11, min(20, max(picture.size) // 40)))


@cache
def _font_of(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels have FreeType
    return font


def _color(report: PredictReport, label: int) -> Color:
    """Returns a class's colour: the checkpoint's, else one by its number."""
    colors = report.classes.colors
    if 0 <= label < len(colors):
        return colors[label]
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN % 1.0, 0.75, 0.95)
    return (int(255 * red), int(255 * green), int(255 * blue))


def _readable_on(color: Color) -> Color:
    """Returns ink or paper, whichever is read better on a colour, by its luma (ITU-R BT.601)."""
    return INK if 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140 else PAPER
