"""A model that sees every mistake, exported once."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mobilevit_deploy.cli.app import app
from tests.report.snippet.pictures import draw

# Each logit is a sum over all pixels with weights of its own: nothing that is done to a picture leaves it as it was.
CODE = """import torch
from torch import nn

def build():
    layer = nn.Linear(3 * 24 * 32, 5)
    with torch.no_grad():
        layer.weight.copy_(0.03 * torch.randn(5, 3 * 24 * 32, generator=torch.Generator().manual_seed(3)))
    return nn.Sequential(nn.Flatten(), layer)
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one layer as an ONNX file, and a picture."""
    folder = tmp_path_factory.mktemp("snippet")
    (folder / "net.py").write_text(CODE)
    (folder / "own").mkdir()
    draw(folder / "own" / "picture.png")
    own = ("--images", folder / "own", "--mean", "0.5,0.4,0.3", "--std", "0.2,0.25,0.3", "--out", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVD_CACHE", str(folder / "kept"))
        arguments = ("export", f"{folder / 'net.py'}:build", "--to", "onnx", "--input-size", "24x32", *own)
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.stderr
    return folder
