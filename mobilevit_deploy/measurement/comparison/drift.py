"""How far the outputs of artifacts lie apart, on the same structured images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.images.test_images import SAMPLES, make_samples
from mobilevit_deploy.measurement.comparison.subject import Subject
from mobilevit_deploy.runners.base import Values
from mobilevit_deploy.verification.differences import Agreement, OutputDifference, measure
from mobilevit_deploy.verification.expected import is_whole


@dataclass(frozen=True)
class Outputs:
    """What an artifact computed, each output (N, ...) of N images; or why nothing was."""

    values: tuple[Values, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Drift:
    """Each output against the base's; ``reason`` says why there is none, or why not for every output.

    Attributes:
        outputs: those that are numbers, in order.
        reason: see above.
        decisions: those that are whole numbers or truth values in the base: they are decided, and have no distance.
    """

    outputs: tuple[OutputDifference, ...] = ()
    reason: str | None = None
    decisions: tuple[Agreement, ...] = ()


def run(subject: Subject, mean: Sequence[float], std: Sequence[float]) -> Outputs:
    """Runs one artifact on the structured images of its size.

    Args:
        subject: what to run.
        mean: that images are normalised with, per channel, of values in [0, 1].
        std: likewise.

    Raises:
        ConversionError: ONNX Runtime does not take the file.
    """
    if subject.no_image:
        return Outputs(reason=subject.no_image)
    channels, height, width = subject.image_shape
    # Without normalisation the images are fractions of 1; the same pixels are the truth for every artifact.
    pixels = 255 * make_samples(SAMPLES, channels, height, width, (0.0,), (1.0,)).astype(np.float64)
    images, batch = subject.feed(pixels, mean, std), subject.shape[0]
    runner = subject.open()
    parts = []
    try:
        for start in range(0, SAMPLES, batch):
            chosen = images[start : start + batch]
            missing = batch - len(chosen)
            fed = np.concatenate([chosen, images[:1].repeat(missing, axis=0)]) if missing else chosen
            parts.append([_of_batch(output, batch, len(chosen)) for output in runner.run(fed)])
    except ArtifactError as error:  # such as an op that the evaluator of ML Programs lacks
        return Outputs(reason=error.message)
    except Exception as error:  # ONNX Runtime's errors have no common type
        return Outputs(reason=f"it does not run: {str(error).splitlines()[0]}")
    return Outputs(tuple(np.concatenate(list(column)).astype(np.float64) for column in zip(*parts, strict=True)))


def _of_batch(output: object, batch: int, count: int) -> Values:
    """Returns an output with the images of a filled-up batch that count, or all of one without a batch axis."""
    values = np.atleast_1d(np.asarray(output))
    return values[:count] if values.shape[0] == batch else values


def compare_outputs(base: Outputs, other: Outputs, base_subject: Subject, subject: Subject) -> Drift:
    """Measures every output against the base's of the same place."""
    if base.reason or other.reason:
        which = base_subject if base.reason else subject
        return Drift(reason=f"{which.path.name}: {base.reason or other.reason}")
    if base_subject.image_shape != subject.image_shape:
        sizes = ["x".join(map(str, item.image_shape)) for item in (subject, base_subject)]
        return Drift(reason=f"its images are {sizes[0]}, the base's {sizes[1]}")
    reasons, found, decisions = [], [], []
    if len(base.values) != len(other.values):
        reasons.append(f"it has {len(other.values)} outputs, the base {len(base.values)}")
    before, after = _alike(base_subject, base.values, subject), _alike(subject, other.values, base_subject)
    for i, (expected, values) in enumerate(zip(before, after, strict=False)):
        if expected.shape != values.shape:
            shapes = ["x".join(map(str, item.shape[1:])) for item in (values, expected)]
            reasons.append(f"its output {i} has the shape {shapes[0]}, the base's {shapes[1]}")
            continue
        broken = [name for name, item in (("the base", expected), ("it", values)) if not np.isfinite(item).all()]
        reasons += [f"{name} has NaN or infinite values in output {i}" for name in broken]
        if is_whole(expected):
            decisions.append(Agreement(str(i), float((np.rint(values) == expected).mean()), 0.0))
        else:
            found.append(measure(str(i), expected, values))
    return Drift(tuple(found), "; ".join(reasons) or None, tuple(decisions))


def _alike(subject: Subject, values: Sequence[Values], other: Subject) -> Sequence[Values]:
    """Returns the outputs, as probabilities where the other artifact's are and these are not."""
    if not other.probabilities or subject.probabilities or len(values) != 1 or values[0].ndim != 2:
        return values
    sums = values[0].sum(axis=1)
    already = bool((values[0] >= 0).all()) and bool(
        (abs(sums - 1) < 1e-2).all()
    )  # a softmax, rounded to half precision
    return values if already else [softmax(values[0], axis=1)]
