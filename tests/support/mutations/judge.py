"""A model with its packages, and what a check of a corrupted one makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.recipe import Precision, Tolerance
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.images import test_images
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline.conversion import convert_for_target
from mobilevit_deploy.pipeline.plan import TargetRequest, plan_target
from mobilevit_deploy.pipeline.prepare import prepare, ready_for_target
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.runners.base import Array, Runner
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.targets.coreml.evaluator import Inputs, MilRunner
from mobilevit_deploy.verification.expected import Expected
from mobilevit_deploy.verification.leg import ARTIFACT, Candidate
from mobilevit_deploy.verification.legs import compare_unrounded, expect
from mobilevit_deploy.verification.parity import Comparison, ParityReport, compare

Verdict = Literal["passed", "failed", "unreadable"]

CHANGED = 1e-4  # of the largest value: what an app could come to notice, and ten times the fp32 tolerance


@dataclass(frozen=True)
class Subject:
    """A model and its packages.

    Attributes:
        name: of the model.
        expected: what PyTorch computes from what a verification feeds, (8, C, H, W).
        other_images: as many of the same kinds with other random parameters, and then white noise.
        packages: one for each precision.
    """

    name: str
    expected: Expected
    other_images: Array
    packages: Mapping[Precision, Path]
    _intact: dict[str, list[Array]] = field(default_factory=dict)

    @property
    def images(self) -> Array:
        """Returns what a verification feeds."""
        return self.expected.images

    def caught_by_verify(self, package: Path, precision: Precision, *, tight: bool = False) -> Verdict:
        """Tells what ``mvd verify`` says of a package; ``failed`` and ``unreadable`` are caught.

        Args:
            package: perhaps corrupted.
            precision: of it.
            tight: as with ``--tight``, whose float32 conversion, made again, is the intact float32 package.
        """
        recipe = catalog.recipe("coreml")
        comparison = Comparison()
        candidate = Candidate(ARTIFACT, precision, recipe.tolerances[precision], [partial(_open, package)])
        comparison.add(candidate, self.expected)
        if tight:
            intact = self.packages["fp32"]
            compare_unrounded("coreml", intact, package, self.expected, recipe, Borders(), comparison)
        status = comparison.report().status
        return "unreadable" if status == "not_measured" else status

    def compare(self, package: Path, tolerance: Tolerance) -> ParityReport:
        """Compares a float32 package with PyTorch on the images of a verification."""
        return compare(self.expected, [Candidate(ARTIFACT, "fp32", tolerance, [partial(MilRunner, package)])])

    def change(self, package: Path) -> tuple[float, float]:
        """Returns how far a float32 package is from the intact one, on the images and on the other images.

        The largest difference over the largest value, over all outputs; infinite where a value is not finite, and
        where the package cannot be run.
        """
        if not self._intact:
            intact = MilRunner(self.packages["fp32"])
            self._intact.update(images=_outputs(intact, self.images), other=_outputs(intact, self.other_images))
        try:
            found = _open(package)
            outputs = [_outputs(found, images) for images in (self.images, self.other_images)]
        except ArtifactError:
            return np.inf, np.inf
        return largest_change(self._intact["images"], outputs[0]), largest_change(self._intact["other"], outputs[1])


class _Remembering(MilRunner):
    """An opened package that computes nothing twice: what a verification feeds is fed to learn the change, too."""

    def __init__(self, package: Path) -> None:
        super().__init__(package)
        self._known: dict[bytes, Sequence[Array]] = {}

    def run(self, batch: Inputs) -> Sequence[Array]:
        assert isinstance(batch, np.ndarray)  # one image, here
        key = batch.tobytes()
        if key not in self._known:
            self._known[key] = super().run(batch)
        return self._known[key]


def _open(package: Path) -> Runner:
    """Opens a package, once for as long as its content is the same."""
    return _opened(package, measure_files(package)[0])


@lru_cache(maxsize=1)
def _opened(package: Path, _sha256: str) -> Runner:
    return _Remembering(package)


def _outputs(runner: Runner, images: Array) -> list[Array]:
    parts = [runner.run(image[None]) for image in images]
    return [np.concatenate(output) for output in zip(*parts, strict=True)]


def largest_change(before: Sequence[Array], after: Sequence[Array]) -> float:
    """Returns the largest difference of an output over its largest value; infinite where one is not finite."""
    with np.errstate(all="ignore"):  # what is not finite is replaced below
        changes = [np.abs(new - old).max() / np.abs(old).max() for old, new in zip(before, after, strict=True)]
    return float(np.nan_to_num(max(changes, key=np.nan_to_num), nan=np.inf, posinf=np.inf))


def export_subject(name: str, side: int, folder: Path, precisions: Sequence[Precision]) -> Subject:
    """Exports a classifier of the catalog, untrained, for images of ``side`` by ``side`` pixels."""
    prepared = prepare(load_model(ModelRequest(name, size=(side, side))))
    packages: dict[Precision, Path] = {}
    for precision in precisions:
        plan = plan_target(TargetRequest("coreml", precision=precision))
        artifact = convert_for_target(plan, prepared, ready_for_target(plan, prepared), folder)
        packages[precision] = artifact.path
    count, channels, height, width = prepared.images.shape
    noise = np.random.default_rng(0).standard_normal(prepared.images.shape).astype(np.float32)
    others = np.concatenate([test_images.make_samples(count, channels, height, width, seed=1), noise])
    return Subject(
        name=name,
        expected=expect(
            prepared.model.module, prepared.images, 1, [output.name for output in prepared.captured.outputs], Borders()
        ),
        other_images=others,
        packages=packages,
    )
