"""``write_snippet``: the code for one artifact in one language.

A template is ``templates/<language>/<target>.jinja``, and whatever is put into it is a literal of its language, so that
no name in a file can become code. What else is known of a language or a runtime, the template sets itself:

- ``file``: what the code is called;
- ``needs``: packages by name, each with its versions;
- ``run``: how it is run;
- ``brackets``: of a list of literals;
- ``escapes``: characters that its string literals escape beside the backslash and the quotation mark.
"""

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from mobilevit_deploy.catalog.formats import target_of_file
from mobilevit_deploy.errors import printable
from mobilevit_deploy.report.snippet.facts import Facts, facts_of
from mobilevit_deploy.report.snippet.languages import PACKAGE, SUFFIX, language_of
from mobilevit_deploy.system.json_text import SCHEMA
from mobilevit_deploy.verification.prediction.picture_input import preparation_of, read_artifact

LINE = 112  # characters of the names of classes in a line of code


@dataclass(frozen=True)
class SnippetRequest:
    """For what, and in which language.

    Attributes:
        artifact: a file that ``mvd export`` wrote.
        language: by name; None for the one that apps with such a file are written in.
        mean: per RGB channel, of values in [0, 1], in place of what the artifact says; with ``std``.
        std: likewise.
    """

    artifact: Path
    language: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Snippet:
    """Code, and what it needs.

    Attributes:
        target: of the artifact that it runs.
        language: of the code.
        code: whole.
        file: what the code is called in its own comments.
        needs: packages by name, each with its versions.
        run: how it is run.
    """

    target: str
    language: str
    code: str
    file: str
    needs: Mapping[str, str]
    run: str


def write_snippet(request: SnippetRequest) -> Snippet:
    """Returns the code for one artifact.

    Raises:
        UsageError: nothing of this target is run in that language.
        ArtifactError: the file is damaged, mvd did not write it, it does not say how its images are prepared, or it
            takes something else than one picture.
    """
    target = target_of_file(request.artifact)
    language = language_of(target, request.language)
    file, noted = read_artifact(request.artifact)
    return fill(target, language, facts_of(file, noted, preparation_of(file, noted, request.mean, request.std)))


def fill(target: str, language: str, facts: Facts) -> Snippet:
    """Returns the code for an artifact of which this is known; there is a template of it."""
    written = _templates().get_template(f"{language}/{target}{SUFFIX}").make_module(vars(facts))
    settings: Any = written  # what the template sets
    code = re.sub(r"\n{4,}", "\n\n\n", str(written).strip())  # parts that are left out leave empty lines
    return Snippet(target, language, f"{code}\n", settings.file, settings.needs, settings.run)


def snippet_document(snippet: Snippet, artifact: Path) -> dict[str, Any]:
    """Returns the snippet for an artifact as JSON takes it; its keys are a contract with scripts: only add to them."""
    return {
        "schema": SCHEMA,
        "artifact": str(artifact),
        "target": snippet.target,
        "language": snippet.language,
        "file": snippet.file,
        "run": snippet.run,
        "needs": [{"package": name, "versions": versions} for name, versions in snippet.needs.items()],
        "code": snippet.code,
    }


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader(PACKAGE),
        finalize=_literal,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # it is code and not HTML: _literal escapes
    )


@pass_context
def _literal(context: Context, value: object) -> str:
    """Returns a value as a literal of the template's language."""
    if isinstance(value, str):
        return _string(value, context["escapes"])
    if isinstance(value, tuple | list):
        start, end = context["brackets"]
        return f"{start}{_wrapped([_literal(context, item) for item in value])}{end}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"templates have no literal for {value!r}")
    return json.dumps(value, allow_nan=False)


def _string(text: str, escapes: Mapping[str, str]) -> str:
    escaped = {"\\": "\\\\", '"': '\\"', **escapes}
    return '"' + "".join(escaped.get(character, character) for character in printable(text)) + '"'


def _wrapped(items: Sequence[str]) -> str:
    """Returns items between commas; in lines of their own where they are many."""
    line = ", ".join(items)
    if len(line) <= LINE:
        return line
    rows: list[str] = []
    for item in items:
        if rows and len(rows[-1]) + len(item) < LINE:
            rows[-1] += f" {item},"
        else:
            rows.append(f"{item},")
    return "\n" + textwrap.indent("\n".join(rows), "    ") + "\n"
