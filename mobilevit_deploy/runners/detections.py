"""Detections as Core ML's non-maximum suppression leaves them, in the form that other targets return."""

from collections.abc import Sequence

import numpy as np

from mobilevit_deploy.runners.base import Array

NO_CLASS = -1  # the label of places that no detection fills


def from_centre_form(
    coordinates: Array, confidence: Array, height: int, width: int, max_detections: int
) -> Sequence[Array]:
    """Returns boxes (1, K, 4), x1, y1, x2, y2 in pixels, scores (1, K), labels (1, K) and their count (1,).

    The best one comes first; places that no detection fills are 0, with the label ``NO_CLASS``. Rows that are sure of
    nothing, with which Core ML fills up an array, are no detections.

    Args:
        coordinates: (n, 4), x and y of the centre, width and height, as shares of the image's.
        confidence: (n, columns); a box has the label of its largest one.
        height: of the image, in pixels.
        width: likewise.
        max_detections: K; of more than that the best ones are taken.
    """
    scores = confidence.max(axis=1)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > 0][:max_detections]
    centre, half = coordinates[order, :2], coordinates[order, 2:] / 2
    boxes = np.concatenate((centre - half, centre + half), axis=1) * np.array([width, height] * 2)
    count = len(order)
    filled_boxes = np.zeros((1, max_detections, 4), dtype=np.float32)
    filled_scores = np.zeros((1, max_detections), dtype=np.float32)
    labels = np.full((1, max_detections), NO_CLASS, dtype=np.float32)
    filled_boxes[0, :count] = boxes
    filled_scores[0, :count] = scores[order]
    labels[0, :count] = confidence[order].argmax(axis=1)
    return filled_boxes, filled_scores, labels, np.array([count], dtype=np.float32)
