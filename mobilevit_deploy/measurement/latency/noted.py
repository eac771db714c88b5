"""The session's entries that ``mvd tune`` found to help a file, as the file notes them: untrusted input."""

from pathlib import Path

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.formats import target_of
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.pipeline import provenance
from mobilevit_deploy.targets.registry import describe_file


def noted_entries(path: Path) -> tuple[str, ...]:
    """Returns ``KEY=VALUE`` entries, of those alone that the target's own recipe lets ``mvd tune`` try.

    A session has entries that name files and libraries, which no file may choose. A file that takes no image, or says
    nothing that can be read, is measured all the same: it notes nothing.
    """
    tuning = catalog.recipe(target_of(path)).tuning
    if tuning is None or not tuning.session:
        return ()
    try:
        noted = provenance.parse(describe_file(path).metadata, path.name)
    except ArtifactError:
        return ()
    return tuple(entry for entry in tuning.session if noted and entry in noted.session)
