"""The int8 graph without rounding: right it is the float32 graph's twin, and each wrong conversion shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.targets.executorch.exact import GraphRunner, keep_graphs
from mobilevit_deploy.targets.executorch.quantize import quantize
from mobilevit_deploy.targets.executorch.runner import open_unrounded
from tests.targets.executorch.test_quantize import IMAGES, request_of

LIMIT = 1e-5  # of the largest value: the recipe's tolerance in float32
Graphs = tuple[torch.export.ExportedProgram, torch.export.ExportedProgram]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    request = request_of(tmp_path_factory.mktemp("int8") / "a.pte")
    return request.program, quantize(request, None)[0]


def difference(folder: Path, graphs: Graphs) -> float:
    int8 = keep_graphs(folder, *graphs)
    (unrounded, twin) = (
        open_unrounded(int8, None, "unrounded", None),
        open_unrounded(folder / "float32.pte", None, "rounded constants", int8),
    )
    assert unrounded is not None
    assert twin is not None
    found, expected = (np.concatenate([opener().run(x[None])[0] for x in IMAGES[:4]]) for opener in (unrounded, twin))
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_the_right_graph_is_the_same_without_rounding(graphs: Graphs, tmp_path: Path) -> None:
    assert difference(tmp_path, graphs) < LIMIT
    exact = GraphRunner(tmp_path / "float32.pt2", tmp_path / "int8.pt2").run(IMAGES[:1])[0]
    with torch.no_grad():
        rounded = graphs[1].module(check_guards=False)(torch.from_numpy(IMAGES[:1])).numpy()
    assert np.abs(rounded - exact).max() > 100 * LIMIT * np.abs(exact).max(), "the graph itself rounds"


def wrong_scale_of_a_weight(program: torch.export.ExportedProgram) -> None:
    {**program.state_dict, **program.constants}["_scale_1"].mul_(1.01)


def wrong_weight(program: torch.export.ExportedProgram) -> None:
    values = {**program.state_dict, **program.constants}
    values["_frozen_param1"][0].neg_()


def activation_left_out(program: torch.export.ExportedProgram) -> None:
    (node,) = program.graph.find_nodes(op="call_function", target=torch.ops.aten.relu.default)
    node.replace_all_uses_with(node.args[0])


def pair_that_does_not_undo_itself(program: torch.export.ExportedProgram) -> None:
    node = next(node for node in program.graph.nodes if node.name == "dequantize_per_tensor_2")
    node.args = (node.args[0], node.args[1] * 1.02, *node.args[2:])


@pytest.mark.parametrize(
    "spoil", [wrong_scale_of_a_weight, wrong_weight, activation_left_out, pair_that_does_not_undo_itself]
)
def test_a_wrong_conversion_shows(graphs: Graphs, tmp_path: Path, spoil: Callable[[Any], None]) -> None:
    float32, int8 = graphs
    torch.export.save(int8, tmp_path / "copy.pt2")
    wrong = torch.export.load(tmp_path / "copy.pt2")
    spoil(wrong)
    assert difference(tmp_path, (float32, wrong)) > 100 * LIMIT


def test_other_layers_are_refused_and_a_file_of_elsewhere_is_not_read(graphs: Graphs, tmp_path: Path) -> None:
    image = torch.from_numpy(IMAGES[:1])
    keep_graphs(tmp_path, recapture(capture(nn.Conv2d(3, 4, 3), image, "features").graph, image), graphs[1])
    with pytest.raises(ArtifactError, match="other layers"):
        GraphRunner(tmp_path / "float32.pt2", tmp_path / "int8.pt2")
    assert open_unrounded(tmp_path / "a.pte", None, "unrounded", None) is None
    assert open_unrounded(tmp_path / "float32.pte", None, "rounded constants", tmp_path / "a.pte") is None
