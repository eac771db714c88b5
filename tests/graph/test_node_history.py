"""A node's history is shared while a graph is converted, and says the same."""

import copy

import pytest
import torch
from torch import nn
from torch.fx import traceback

from mobilevit_deploy.graph.node_history import shared_histories


def histories(program: torch.export.ExportedProgram) -> list[str]:
    """Returns the names of each node's ancestors."""
    found = []
    for node in program.graph.nodes:
        names, records = [], list(node.meta.get("from_node", ()))
        while records:
            names.append(records[0].name)
            records = records[0].from_node
        found.append(" ".join(names))
    return found


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own use of it
def test_shared_histories_say_the_same() -> None:
    program = torch.export.export(nn.Sequential(nn.Linear(3, 4), nn.GELU()), (torch.zeros(1, 3),))
    expected = histories(program.run_decompositions({}).run_decompositions({}))
    assert max(len(names.split()) for names in expected) > 2
    with shared_histories():
        assert histories(program.run_decompositions({}).run_decompositions({})) == expected
        with shared_histories():
            pass
        record = traceback.NodeSource(None)
        assert copy.deepcopy([record])[0] is record
    assert copy.deepcopy([record])[0] is not record
