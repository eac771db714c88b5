"""Makes the files of a search: each candidate is exported and verified as ``mvd export`` does it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mobilevit_deploy.catalog.model_card import Family
from mobilevit_deploy.catalog.recipe import Precision, Recipe, RecipeRewrite
from mobilevit_deploy.errors import ArtifactError, CheckFailedError, ConversionError
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.measurement.tuning.recipe_file import recipe_text
from mobilevit_deploy.measurement.tuning.space import DEFAULT, REASON, Candidate, Change, open_changes, recipe_of
from mobilevit_deploy.measurement.tuning.trials import Made
from mobilevit_deploy.pipeline.prepare import Prepared, quantization_rule
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.pipeline.rewriting import rewrite_captured

LONGEST_REASON = 300  # characters of why a candidate was refused


class Exports:
    """The exports of one search, in a folder that goes with it."""

    def __init__(
        self,
        request: ExportRequest,
        recipe: Recipe,
        name: str,
        precision: Precision,
        prepared: Prepared,
        folder: Path,
        max_loss: float | None,
    ) -> None:
        """Prepares a search's exports.

        Args:
            request: of the default file, to one target.
            recipe: the default one.
            name: of the candidates' recipes; all have the same, so that equal graphs are equal files.
            precision: of the default file.
            prepared: the model, to see which rewrites find a place in it.
            folder: for the files.
            max_loss: points of accuracy that a file may lose on the request's images; None for any number.
        """
        self._request, self._recipe, self._name, self._base = request, recipe, name, precision
        self._folder, self._max_loss = folder, max_loss
        self._family: Family | None = prepared.model.card.family if prepared.model.card else None
        self._fires = _firing(recipe, prepared)
        self._known: dict[str, tuple[str, ...]] = {}  # by the hash of a file, the candidate that it was first seen of
        self.reports: dict[Candidate, ExportReport] = {}

    def remember(self, made: Sequence[Made]) -> None:
        """Takes the files of an earlier run, so that an equal one is not timed again."""
        for item in made:
            if item.sha256:
                self._known.setdefault(item.sha256, item.changes)

    def recipe(self, candidate: Candidate) -> Recipe:
        """Returns a candidate as a recipe."""
        return recipe_of(candidate, self._recipe, self._family, self._name, self._base)

    def request_of(self, candidate: Candidate, recipe: Path) -> ExportRequest:
        """Returns what exports a candidate by its recipe's file."""
        precision = candidate.precision(self._base)
        calibrate = self._request.calibrate if precision == "int8" else None
        return replace(self._request, recipe=str(recipe), precision=precision, calibrate=calibrate)

    def make(self, candidate: Candidate) -> tuple[Made, Path | None]:
        """Exports a candidate; one that fails its parity, or loses too much, is no fault of the search.

        Raises:
            MvdError: the default recipe's file cannot be made, or the disk is full, or the like.
        """
        folder = self._folder / f"{len(list(self._folder.iterdir()))}"
        folder.mkdir()
        path = folder / "recipe.toml"
        path.write_text(recipe_text(self.recipe(candidate)), encoding="utf-8")
        request = replace(self.request_of(candidate, path), folder=folder, file_name=None)
        try:
            (report,) = export_model(request)
        except (CheckFailedError, ConversionError, ArtifactError) as error:
            if candidate == DEFAULT:
                raise
            reason = re.sub(r"\s+", " ", error.message)[:LONGEST_REASON]
            return Made(changes=candidate.names, refused=reason), None
        self.reports[candidate] = report
        return self._judge(candidate, report), report.artifact.path

    def open_changes(self, candidate: Candidate, made: Made | None) -> Sequence[Change]:
        """Returns what else can be changed of a candidate that was made."""
        int8 = candidate.precision(self._base) == "int8"
        rule = quantization_rule(self._recipe, self._family) if int8 else None
        return open_changes(self._recipe, rule, self._fires, set(made.quantized if made else ()))

    def _judge(self, candidate: Candidate, report: ExportReport) -> Made:
        artifact, accuracy = report.artifact, report.accuracy
        lost = None
        if accuracy and accuracy.reference is not None and accuracy.artifact is not None:
            lost = 100 * (accuracy.reference - accuracy.artifact)
        same = self._known.setdefault(artifact.sha256, candidate.names)
        refused = None
        if same != candidate.names:
            refused = f"the same file as of {', '.join(same) or DEFAULT}"
        elif self._max_loss is not None and candidate != DEFAULT and lost is not None and lost > self._max_loss:
            assert accuracy
            refused = (
                f"loses {lost:.2f} points of {accuracy.metric} on {accuracy.images} images, "
                f"and --max-loss is {self._max_loss:g}"
            )
        return Made(
            changes=candidate.names,
            sha256=artifact.sha256,
            bytes=artifact.bytes,
            points_lost=lost,
            images=accuracy.images if accuracy else None,
            quantized=tuple(sorted(artifact.quantization.quantized)) if artifact.quantization else (),
            refused=refused,
        )


def _firing(recipe: Recipe, prepared: Prepared) -> frozenset[str]:
    """Returns the rewrites that find a place in a model: the recipe's own, and those that may be added."""
    if recipe.tuning is None:
        return frozenset()
    added = tuple(RecipeRewrite(name=name, reason=REASON) for name in recipe.tuning.add)
    every = recipe.model_copy(update={"rewrites": (*recipe.rewrites, *added)})
    rewritten, _ = rewrite_captured(every, prepared.captured.graph, prepared.example)
    return frozenset(result.name for result in rewritten.results if result.applied)
