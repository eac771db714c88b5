"""The legs in which an export is compared with PyTorch: rewritten graph, steps of the conversion, artifact."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from mobilevit_deploy.catalog.decision import Suppression
from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.catalog.recipe import Precision, Recipe, Tolerance
from mobilevit_deploy.errors import ArtifactError, DoesNotRunError
from mobilevit_deploy.graph.source_lines import failing_line
from mobilevit_deploy.graph.untraceable import at, reason_of
from mobilevit_deploy.images.batches import batches, fill_batches
from mobilevit_deploy.pipeline.plan import Plan
from mobilevit_deploy.pipeline.prepare import (
    Prepared,
    ReadyForTarget,
    borders_of,
    resize_model,
    structured_images,
)
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.runners.base import Array, NotMeasured, Opener, Runner
from mobilevit_deploy.runners.reference import Computed, TorchRunner
from mobilevit_deploy.runners.rewritten_graph import GraphRunner
from mobilevit_deploy.targets.artifact import Artifact
from mobilevit_deploy.targets.registry import open_without, optimizers_of, runners_for, unrounded
from mobilevit_deploy.verification.expected import PYTORCH, Expected
from mobilevit_deploy.verification.half_range import warn_of_overflow
from mobilevit_deploy.verification.leg import ARTIFACT, INT8_GRAPH, INT8_UNROUNDED, REPEATED, UNROUNDED, Candidate
from mobilevit_deploy.verification.noise import FACTOR
from mobilevit_deploy.verification.noise import perturbed as open_perturbed
from mobilevit_deploy.verification.optimizers import Optimizations
from mobilevit_deploy.verification.own_loss import open_like, open_rounded
from mobilevit_deploy.verification.parity import Comparison

HELD_OUT = "PyTorch, on images held out of calibration"
GIVEN = "PyTorch, on your images"
REPEATED_TOLERANCE = {
    "max_rel": 1e-3,
    "snr_db": 40.0,
    "reason": "another release's k-means may end in other tables: 1e-5 was seen; other weights differ by tenths",
}
Known = dict[tuple[Borders, tuple[str, ...]], Expected]  # by the borders of an artifact and the names of its outputs

# Of an int8 file on images of another kind than it was calibrated on.
OTHER_IMAGES_TOLERANCE = {
    "max_rel": 5e-1,
    "snr_db": 0.0,
    "detections": 0.0,
    "labels": 0.0,
    "reason": "calibrated on images of another kind: cas_vit_xs by structured ones, measured on digits, comes to 0.36",
}


def expect(
    module: nn.Module,
    images: Array,
    batch: int,
    names: Sequence[str],
    borders: Borders,
    description: str = PYTORCH,
    computed: Computed | None = None,
) -> Expected:
    """Runs PyTorch, in float64, on the images as an artifact with these borders sees them.

    A module that does not run in float64, as one of compiled code that names float32, is run in float32, and that is
    said.

    Args:
        module: before any rewrite.
        images: normalised, (N, C, H, W).
        batch: of the artifact.
        names: of the outputs.
        borders: of the artifact.
        description: of PyTorch on these images, where they are no structured ones.
        computed: what the module is known to come to in float64.
    """

    def perturbed(unit: float) -> Iterator[tuple[Opener, float]]:
        yield lambda: borders.reference(TorchRunner(module)), FACTOR
        for opener in open_perturbed(module, unit):
            yield partial(_open_with, borders, opener), 1.0

    def run(dtype: torch.dtype, description: str) -> Expected:
        runner = borders.reference(TorchRunner(module, dtype, computed if dtype == torch.float64 else None))
        detections = isinstance(borders.decision, Suppression)
        return Expected(
            runner, borders.images(images), batch, names, perturbed, description,
            detections=detections, chosen_by=borders.chosen_by,
        )  # fmt: skip

    try:
        return run(torch.float64, description)
    except Exception:  # of the user's own code, which may look at the dtype
        try:
            return run(torch.float32, f"{description}, in float32")
        except Exception as error:
            raise DoesNotRunError(
                f"the model runs on one test image and not on another: {reason_of(error)}{at(failing_line(error))}",
                "it must compute something for every image, black and white ones too",
            ) from error


def _open_with(borders: Borders, opener: Opener) -> Runner:
    return borders.reference(opener())


def expect_for_target(prepared: Prepared, ready: ReadyForTarget, known: Known) -> Expected:
    """Runs PyTorch on the structured images as the target's artifact sees them.

    Args:
        prepared: the model.
        ready: what the target is given.
        known: what was run for other targets of the same model, which is not run again; takes what is.
    """
    model, names, borders = prepared.model, tuple(output.name for output in ready.outputs), borders_of(ready)
    if (borders, names) not in known:
        known[borders, names] = expect(
            model.module, prepared.images, model.input_shape[0], names, borders, computed=prepared.computed
        )
    return known[borders, names]


def expect_for_artifact(prepared: Prepared, ready: ReadyForTarget, expected: Expected) -> Expected:
    """Returns what the artifact itself is compared with; for int8, on images of the kind that it was calibrated on.

    Its ranges need not hold what other images come to. These are images that calibration did not see.
    """
    calibration, batch = prepared.calibration, prepared.model.input_shape[0]
    if calibration is None or calibration.structured:
        return expected
    images = fill_batches(calibration.held_out, batch)
    return expect(prepared.model.module, images, batch, expected.names, borders_of(ready), HELD_OUT)


def compare_graph(
    plan: Plan, prepared: Prepared, ready: ReadyForTarget, expected: Expected, comparison: Comparison
) -> tuple[str, ...]:
    """Adds the leg of the rewritten graph; returns warnings of values that the precision will not hold."""
    runner, borders = GraphRunner(ready.graph), borders_of(ready)
    (opener,) = borders.openers([lambda: runner])
    comparison.add(Candidate("rewritten graph", "fp32", plan.recipe.tolerances["fp32"], [opener]), expected)
    if plan.precision in ("fp32", "int8"):  # the others hold half-precision values
        return ()
    if prepared.given and not isinstance(opener, NotMeasured):
        feed = opener()
        for batch, _ in batches(prepared.given.images, prepared.model.input_shape[0]):
            feed.run(batch)
    can_keep = format_of(plan.recipe.target).writes(["--keep-fp32"])
    return warn_of_overflow(ready.graph, runner.ranges, ready.app.keep_fp32, can_keep=can_keep)


def compare_artifact(
    plan: Plan,
    ready: ReadyForTarget,
    artifact: Artifact,
    expected: Expected,
    comparison: Comparison,
    own: Expected | None = None,
) -> None:
    """Adds a leg for each step of the conversion, and those of the artifact, re-read from disk.

    Args:
        plan: of the export.
        ready: the graph that was converted.
        artifact: what was written.
        expected: on the structured images.
        comparison: takes the legs.
        own: for the artifact itself, where that is another.
    """
    recipe, borders = plan.recipe, borders_of(ready)
    rounded = open_rounded(ready.graph, borders, ready.app.keep_fp32)
    for step in artifact.intermediates:
        # One runner tells at which step a difference comes in; what only a Mac runs is asked of the artifact alone.
        openers = borders.openers(runners_for(artifact.target, step.path))[:1]
        tolerance = recipe.tolerances[step.precision]
        comparison.add(Candidate(step.subject, step.precision, tolerance, openers, rounded), expected)
    tolerance = choose_tolerance(recipe, plan.precision, plan.compression.prune if plan.compression else None)
    openers = borders.openers(runners_for(artifact.target, artifact.path))
    optimizations = optimizations_of(artifact.target, artifact.path, borders)
    own_loss = open_like(plan, ready, borders)
    candidate = Candidate(ARTIFACT, plan.precision, tolerance, openers, own_loss, optimizations)
    comparison.add(candidate, own or expected)
    paths = {step.precision: step.path for step in artifact.intermediates}
    # What compression does is no rounding of one kind.
    half = artifact.graph or (paths.get("fp16") if plan.compression else artifact.path)
    if half is None or "fp32" not in paths:
        return
    if ready.app.keep_fp32 and plan.precision != "int8":
        comparison.leave_out(UNROUNDED, "with --keep-fp32 not all weights are rounded")
    else:
        subject = INT8_GRAPH if artifact.graph else INT8_UNROUNDED if plan.precision == "int8" else UNROUNDED
        compare_unrounded(artifact.target, paths["fp32"], half, expected, recipe, borders, comparison, subject=subject)


def optimizations_of(target: str, path: Path, borders: Borders) -> Optimizations | None:
    """Returns what an artifact's runtime does to its graph; None where none of it can be switched off by name."""
    names = optimizers_of(target)

    def without(off: Sequence[str]) -> Opener:
        (opener,) = borders.openers([open_without(target, path, off)])
        assert not isinstance(opener, NotMeasured)  # what was given here opens a file on this machine
        return opener

    return Optimizations(names, without) if names else None


def compare_unrounded(
    target: str,
    float32: Path,
    half: Path,
    expected: Expected,
    recipe: Recipe,
    borders: Borders,
    comparison: Comparison,
    function: str | None = None,
    subject: str = UNROUNDED,
) -> None:
    """Adds the leg that holds a half-precision or int8 file to float32's tolerance, without rounding on either side.

    Half precision's own tolerance hides a wrong epsilon, a wrong form of GELU, and a small wrong weight: of corruptions
    that change the output by more than 1e-4 it caught two thirds (see benchmarks/mutations.py), and this leg all.

    Args:
        target: of both files.
        float32: a conversion of the same graph, itself compared with PyTorch.
        half: the file.
        expected: for its images.
        recipe: whose float32 tolerance holds.
        borders: of both files.
        comparison: takes the leg.
        function: of the half-precision file, if it has more than one.
        subject: of the leg.
    """
    first = unrounded(target, float32, reading="rounded constants", like=half)
    second = unrounded(target, half, function)
    tolerance = recipe.tolerances["fp32"]
    _compare_pair(subject, "float32, weights rounded", (first, second), expected, tolerance, borders, comparison)


def compare_repeated(
    target: str,
    again: Path,
    file: Path,
    expected: Expected,
    recipe: Recipe,
    borders: Borders,
    comparison: Comparison,
    function: str | None = None,
) -> None:
    """Adds the leg that holds a file to the same export, made again: both in float32, where they may not differ.

    For compressed files, whose own tolerance is wide: the weights are the same only if the checkpoint, the program and
    the compression are.
    """
    first, second = unrounded(target, again), unrounded(target, file, function)
    tolerance = recipe.tolerances["fp32"].model_copy(update=REPEATED_TOLERANCE)
    _compare_pair(REPEATED, "the export, made again", (first, second), expected, tolerance, borders, comparison)


def _compare_pair(
    subject: str,
    description: str,
    pair: tuple[Opener | None, Opener | None],
    expected: Expected,
    tolerance: Tolerance,
    borders: Borders,
    comparison: Comparison,
) -> None:
    """Adds the leg of the second of two files against the first, where a runner can compute without rounding."""
    openers = borders.openers([opener for opener in pair if opener is not None])
    able = [opener for opener in openers if not isinstance(opener, NotMeasured)]
    if len(able) < 2:
        return
    first, second = able
    try:
        images, batch, names = expected.images, expected.batch, expected.names
        detections = expected.detections
        reference = Expected(
            first(), images, batch, names, description=description, noise_of=expected, detections=detections
        )
    except ArtifactError:
        return  # the runner lacks an op, which the legs before this one say
    comparison.add(Candidate(subject, "fp32", tolerance, [second]), reference)


def compare_other_sizes(
    plan: Plan, prepared: Prepared, ready: ReadyForTarget, artifact: Artifact, comparison: Comparison
) -> None:
    """Adds the artifact's legs at every size beside the default one."""
    borders, names = borders_of(ready), [output.name for output in ready.outputs]
    tolerance = choose_tolerance(plan.recipe, plan.precision, plan.compression.prune if plan.compression else None)
    for entry in artifact.entries[1:]:
        sized = resize_model(prepared.model, entry.shape[2:])
        expected = expect(sized.module, structured_images(sized), entry.shape[0], names, borders)
        openers = borders.openers(runners_for(artifact.target, artifact.path, entry.function))
        comparison.add(Candidate(ARTIFACT, plan.precision, tolerance, openers), expected)
        if entry.function and plan.precision != "fp32":
            comparison.leave_out(UNROUNDED, f"the function {entry.function} has no float32 conversion of its own")
        elif artifact.intermediates and not (plan.compression or ready.app.keep_fp32):
            float32 = artifact.intermediates[0].path
            compare_unrounded(artifact.target, float32, artifact.path, expected, plan.recipe, borders, comparison)


def choose_tolerance(recipe: Recipe, precision: Precision, prune: float | None) -> Tolerance:
    """Returns a recipe's tolerance for an artifact; a pruned one has its own."""
    return recipe.pruning.tolerance if prune and recipe.pruning else recipe.tolerances[precision]
