"""The tight legs: the model converted again, and the file held to that in float32, where nothing is rounded."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.catalog.recipe import Precision, Recipe
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.pipeline.origin import export_seconds
from mobilevit_deploy.pipeline.provenance import Provenance
from mobilevit_deploy.pipeline.reconstruct import Reconstructed, convert_again
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.targets.artifact import FileDescription
from mobilevit_deploy.targets.registry import runners_for
from mobilevit_deploy.verification.expected import Expected
from mobilevit_deploy.verification.explain import explain_doubts
from mobilevit_deploy.verification.leg import INT8_UNROUNDED, UNROUNDED, Candidate
from mobilevit_deploy.verification.legs import compare_repeated, compare_unrounded
from mobilevit_deploy.verification.parity import Comparison

FLOAT32_CONVERSION = "float32 conversion"
LONGEST_UNASKED_S = 30  # of an export that is made again where nobody asked for it
ASK = "its own tolerance is wide: --tight makes the export again and compares the two"


def why_left_out(file: FileDescription, noted: Provenance | None, model: LoadedModel) -> str | None:
    """Returns why a compressed file is not held to the same export, made again, unless that is asked for.

    None where it is: the weights are those of the export, and that did not take long. What it takes to make an export
    again is what it took, which its report has: the same capture, rewrites, conversions and legs.
    """
    seconds = export_seconds(file)
    if noted is None or (noted.trained and noted.weights_sha256 != model.weights.sha256):
        return f"{file.path.name} is not compared with the weights of its export, and {ASK}"
    if seconds is None:
        return f"{file.path.name} has no report beside it that says how long its export took, and {ASK}"
    if seconds > LONGEST_UNASKED_S:
        return f"{file.path.name} took {seconds:.0f} s to export, and {ASK}"
    return None


def is_compressed(precision: Precision, noted: Provenance | None) -> bool:
    """Tells whether a file's own tolerance is that of compressed weights."""
    return precision not in ("fp32", "fp16") or bool(noted and noted.prune)


@dataclass(frozen=True)
class SameExport:
    """A file, and what its export is made again from: ``made`` does that, and takes seconds."""

    made: Callable[[], Reconstructed]
    file: FileDescription
    noted: Provenance | None
    recipe: Recipe
    precision: Precision
    borders: Borders


def hold_tightly(
    export: SameExport,
    model: LoadedModel,
    expected: Expected,
    comparison: Comparison,
    progress: Callable[[str], None],
    *,
    asked: bool,
) -> list[str]:
    """Adds the tight legs where they are asked for, and of compressed files where they take little.

    Args:
        export: of the file.
        model: that it is compared with.
        expected: for its images.
        comparison: takes the legs.
        progress: called with a line of text.
        asked: for any file, however long it takes.

    Returns:
        What there is to say of legs that were left out.
    """
    if asked:
        progress("converting the model again in float32")
        _compare(export, expected, comparison)
        return []
    if not is_compressed(export.precision, export.noted):
        return []
    left_out = why_left_out(export.file, export.noted, model)
    if left_out is None:
        progress("making the same export again")
        try:
            _compare(export, expected, comparison)
        except MvdError as error:  # nobody asked for it
            left_out = f"the export was not made again: {error.message}"
    return [left_out] if left_out else []


def _compare(export: SameExport, expected: Expected, comparison: Comparison) -> None:
    """Adds the legs of the export's own conversions, made again."""
    made, file, noted, recipe, borders = export.made(), export.file, export.noted, export.recipe, export.borders
    with tempfile.TemporaryDirectory(prefix="mvd-float32-") as folder:
        path = Path(folder) / f"float32{file.path.suffix}"
        convert_again(made, noted, file, recipe, path, precision="fp32")
        openers = borders.openers(runners_for(file.target, path))[:1]
        comparison.add(Candidate(FLOAT32_CONVERSION, "fp32", recipe.tolerances["fp32"], openers), expected)
        function, precision = file.entries[0].function, export.precision
        if precision == "int8" or (precision == "fp16" and not (noted and (noted.prune or noted.keep_fp32))):
            subject = INT8_UNROUNDED if precision == "int8" else UNROUNDED
            compare_unrounded(file.target, path, file.path, expected, recipe, borders, comparison, function, subject)
            explain_doubts(lambda: made, file, noted, comparison, {FLOAT32_CONVERSION: path})
        else:
            again = Path(folder) / f"again{file.path.suffix}"
            convert_again(made, noted, file, recipe, again, precision=precision)
            compare_repeated(file.target, again, file.path, expected, recipe, borders, comparison, function)
    for entry in file.entries[1:]:
        size = "x".join(map(str, entry.shape[2:]))
        comparison.leave_out(f"{UNROUNDED}, {size}", "--tight converts the model for the first size only")
