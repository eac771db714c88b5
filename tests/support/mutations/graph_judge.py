"""What a verification says of the files that a target makes of corrupted graphs."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.recipe import Precision
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline.conversion import convert_for_target
from mobilevit_deploy.pipeline.plan import TargetRequest, plan_target
from mobilevit_deploy.pipeline.prepare import prepare, ready_for_target
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.runners.reference import TorchRunner
from mobilevit_deploy.targets.registry import runners_for
from mobilevit_deploy.verification.expected import Expected
from mobilevit_deploy.verification.leg import ARTIFACT, Candidate
from mobilevit_deploy.verification.legs import expect
from mobilevit_deploy.verification.parity import compare
from tests.support.mutations.graph_kinds import edits
from tests.support.mutations.judge import CHANGED, Verdict, largest_change


@dataclass(frozen=True)
class WrongGraph:
    """One corrupted graph.

    Attributes:
        kind: of the corruption.
        place: the call that it was done to.
        change: of the outputs over the largest value, on the images of a verification; infinite where it cannot run.
        verdict: of the verification; None where the change is too small for its file to be made.
        strict: the verdict by the recipe's tolerance alone, whatever PyTorch itself loses.
    """

    kind: str
    place: str
    change: float
    verdict: Verdict | None
    strict: Verdict | None


class GraphSubject:
    """A model, what a target is given of it, and what PyTorch computes.

    Args:
        target: by name.
        model: of the catalog, or of one's own.
        side: of the image, in pixels.
        precision: of the files.
    """

    def __init__(self, target: str, model: str, side: int, precision: Precision = "fp32") -> None:
        self._prepared = prepare(load_model(ModelRequest(model, size=(side, side))))
        self._plan = plan_target(TargetRequest(target, precision=precision))
        self._ready = ready_for_target(self._plan, self._prepared)
        self._target, self._precision = target, precision
        names = [output.name for output in self._prepared.captured.outputs]
        module, images = self._prepared.model.module, self._prepared.images
        self._expected = expect(module, images, 1, names, Borders())
        self._without_noise = Expected(TorchRunner(module, torch.float64), images, 1, names)
        self._intact = self._run(self._ready.graph)

    def wrong_graphs(self, per_kind: int, seed: int, folder: Path) -> Iterator[WrongGraph]:
        """Corrupts up to ``per_kind`` places of each kind, and verifies the files of those that change the outputs."""
        places = defaultdict(list)
        for i, edit in enumerate(edits(self._ready.graph)):
            places[edit.kind].append(i)
        for indices in places.values():
            rng = np.random.default_rng(seed)
            for i in rng.permutation(indices)[:per_kind]:
                graph = self._ready.graph.copy()
                edit = list(edits(graph))[i]
                edit.apply(rng)
                graph.graph.lint()
                change = self._change(graph)
                verdicts = self._verdicts(graph, folder) if change > CHANGED else (None, None)
                yield WrongGraph(edit.kind, edit.place, change, *verdicts)

    def verdict(self, graph: Graph | None, folder: Path) -> Verdict:
        """Converts a graph, the intact one by default, and tells what parity with PyTorch says of the file."""
        return self._verdicts(graph, folder)[0]

    def _verdicts(self, graph: Graph | None, folder: Path) -> tuple[Verdict, Verdict]:
        """Converts a graph; returns the verdict of parity, and that of the tolerance alone."""
        ready = replace(self._ready, graph=graph) if graph else self._ready
        try:
            path = convert_for_target(self._plan, self._prepared, ready, folder).path
        except MvdError:
            return "unreadable", "unreadable"
        tolerance = catalog.recipe(self._target).tolerances[self._precision]
        candidate = Candidate(ARTIFACT, self._precision, tolerance, runners_for(self._target, path))
        now, strict = (compare(expected, [candidate]).status for expected in (self._expected, self._without_noise))
        return "unreadable" if now == "not_measured" else now, "unreadable" if strict == "not_measured" else strict

    def _run(self, graph: Graph) -> list[Array]:
        runs = [graph.run(torch.from_numpy(image[None])) for image in self._prepared.images]
        return [torch.cat(output).numpy() for output in zip(*runs, strict=True)]

    def _change(self, graph: Graph) -> float:
        try:
            found = self._run(graph)
        except (RuntimeError, IndexError):  # shapes that do not fit
            return np.inf
        if [one.shape for one in found] != [one.shape for one in self._intact]:
            return np.inf
        return largest_change(self._intact, found)
