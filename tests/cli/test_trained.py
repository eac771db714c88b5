"""``--trained``: the user's word for weights that a model's own code loads, from the export to what reads the file."""

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

NET = """
import torch
from torch import nn

print("a line of the model's own code")


def build(seed: int = 3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
"""
WORD = "our run 12, 81.2 %"


def test_the_users_word_goes_with_the_file(mvd: Callable[..., Result]) -> None:
    Path("my_net.py").write_text(NET)
    result = mvd(
        "export",
        "my_net.py:build",
        "--trained",
        WORD,
        "--require-trained",
        "--to",
        "onnx",
        "--input-size",
        32,
        "--json",
    )
    assert result.exit_code == 0, result.stderr
    (report,) = json.loads(result.stdout)["artifacts"]
    assert (report["weights"]["trained"], report["weights"]["vouched"]) == (True, WORD)
    path = Path("artifacts/my_net_build-32x32-fp32.onnx")
    assert report["path"] == str(path)
    shown = f"{WORD} (the user's word)"
    assert f"weights: {shown}" in mvd("inspect", path).stdout
    assert "(the user's word) |" in path.with_suffix(".onnx.md").read_text()

    verified = mvd("verify", path, "--model", "my_net.py:build")
    assert verified.exit_code == 0, verified.stderr
    assert shown in verified.stdout
    assert "warning" not in verified.stderr
    other = mvd("verify", path, "--model", "my_net.py:build", "--model-arg", "seed=4")
    assert other.exit_code == 3
    assert f"was made from the weights of {WORD}" in other.stderr
    assert "is compared with other ones" in other.stderr

    assert mvd("report").exit_code == 0
    page = Path("artifacts/report.html").read_text()
    assert "trained (the user&#39;s word)" in page
    assert WORD in page


def test_the_catalogs_models_have_no_weights_to_vouch_for(mvd: Callable[..., Result]) -> None:
    result = mvd("export", "cas_vit_xs", "--trained", WORD, "--to", "onnx")
    assert result.exit_code == 2
    assert "--trained is for code of your own that loads its weights, and cas_vit_xs is none" in result.stderr
    assert not Path("artifacts").exists()
