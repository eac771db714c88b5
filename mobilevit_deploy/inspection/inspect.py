"""Inspecting a model on its way to a target, or an artifact on disk."""

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mobilevit_deploy.catalog.formats import target_of_file
from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.loading.model import load_model
from mobilevit_deploy.pipeline import provenance
from mobilevit_deploy.pipeline.conversion import convert_for_target
from mobilevit_deploy.pipeline.plan import plan_target
from mobilevit_deploy.pipeline.prepare import prepare, ready_for_target
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.contents import Integrity, compare
from mobilevit_deploy.targets.operations import Operation, from_graph
from mobilevit_deploy.targets.registry import read_contents, read_facts, rules_of
from mobilevit_deploy.targets.registry import target as find_target
from mobilevit_deploy.targets.rules import Finding, check

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Inspection:
    """One target's view of a model or artifact.

    Attributes:
        name: of the model, or the artifact's path.
        target: that will run it.
        ops_before: ATen ops as captured; empty for an artifact.
        ops_after: ATen ops after the recipe's rewrites; empty for an artifact.
        ops: of the artifact, by the target's own names.
        findings_before: in the captured graph.
        findings: in the rewritten graph (by module path) and in the artifact.
        conversion_error: what the converter said, where it refused the graph, and the ways out.
        integrity: whether an artifact is what its export wrote; None for a model.
        facts: what else is to be said of the artifact: where its weights are from, which runtime it needs.
    """

    name: str
    target: str
    ops_before: Mapping[str, int]
    ops_after: Mapping[str, int]
    ops: Mapping[str, int]
    findings_before: tuple[Finding, ...]
    findings: tuple[Finding, ...]
    conversion_error: str | None = None
    integrity: Integrity | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Tells whether nothing was found, the converter took the graph, and the file is what was exported."""
        changed = self.integrity is not None and self.integrity.status == "changed"
        return not self.findings and self.conversion_error is None and not changed


def inspect_artifact(path: Path) -> Inspection:
    """Inspects a file on disk; raises MvdError when it is missing, damaged or of another kind."""
    target = target_of_file(path)
    operations = find_target(target).read_operations(path)
    contents = read_contents(path)
    noted = provenance.parse(contents.metadata, path.name) if contents else None
    return Inspection(
        name=str(path),
        target=target,
        ops_before={},
        ops_after={},
        ops=_count(operations),
        findings_before=(),
        findings=tuple(check(operations, rules_of(target))),
        integrity=compare(contents) if contents else Integrity(),
        facts={**({"weights": noted.weights_text()} if noted else {}), **read_facts(path)},
    )


def inspect_model(request: ExportRequest, progress: Progress = lambda _stage: None) -> list[Inspection]:
    """Takes a model as far as the converted artifact, in a temporary folder, and looks at it at each step.

    Raises:
        MvdError: the model cannot be loaded or captured; a converter's refusal is part of the result.
    """
    plans = [plan_target(item) for item in request.target_requests()]
    progress(f"capturing {request.model.name}")
    prepared = prepare(load_model(request.model_request()))
    before = from_graph(prepared.captured.graph)
    inspections = []
    for plan in plans:
        target = plan.recipe.target
        progress(f"{target}: rewriting and converting")
        ready = ready_for_target(plan, prepared)
        after, rules = from_graph(ready.rewritten), rules_of(target)
        operations: list[Operation] = []
        refusal, facts = None, {}
        with tempfile.TemporaryDirectory(prefix="mvd-inspect-") as folder:
            try:
                artifact = convert_for_target(plan, prepared, ready, Path(folder))
                operations = find_target(target).read_operations(artifact.path)
                facts = dict(read_facts(artifact.path))
            except ConversionError as error:
                refusal = "; ".join(filter(None, [error.message, error.hint]))
        inspections.append(
            Inspection(
                prepared.model.name,
                target,
                _count(before),
                _count(after),
                _count(operations),
                tuple(check(before, rules)),
                _with_lines([*check(after, rules), *check(operations, rules)], [*before, *after]),
                refusal,
                facts=facts,
            )
        )
    return inspections


def _with_lines(findings: Sequence[Finding], graph: Sequence[Operation]) -> tuple[Finding, ...]:
    """Returns findings, each once; one in a file has the line that the graph has for its module."""
    lines: dict[str, str] = {}
    for operation in graph:
        if operation.line:
            lines.setdefault(operation.at, operation.line)
    return tuple(
        finding if finding.line else replace(finding, line=lines.get(finding.at, ""))
        for finding in dict.fromkeys(findings)
    )


def _count(operations: Sequence[Operation]) -> dict[str, int]:
    return dict(Counter(operation.kind for operation in operations).most_common())
